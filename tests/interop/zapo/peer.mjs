// zapo-js, driven by a test: one JSON command a line on stdin, one JSON event or reply a line on stdout.
//
// Start: node peer.mjs URL ROOT_KEY_HEX ROOT_SERIAL. The library connects, unmodified, to the URL and checks the certificate
// chain against that root; everything else is a command:
// {"id", "cmd": "connect" | "disconnect" | "send" | "read" | "pair_code" | "forget_sessions" | "logout" | "stop"}.
// A reply is {"reply": id, ...}; an event is {"event": name, ...}.

import { createInterface } from 'node:readline'
import WebSocket from 'ws'
import { createStore, WaClient } from 'zapo-js'

const [url, rootKey, rootSerial] = process.argv.slice(2)
if (!/^wss?:\/\/127\./.test(url)) throw new Error('only loopback addresses are dialled')
// Node 20 has no WebSocket class of its own.
globalThis.WebSocket = WebSocket

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// The credentials' store is an object of ours, which outlives the client object; everything else is the library's memory store.
// This version takes the server's request to log in anew after pairing (515) for a log-out as well and clears what it has just
// saved; so nothing is ever cleared here, and a test begins with an empty store of its own.
let credentials = null
const auth = {
  load: async () => credentials,
  save: async (fresh) => {
    credentials = fresh
  },
  clear: async () => {},
}
const DOMAINS = ['auth', 'signal', 'preKey', 'session', 'identity', 'senderKey', 'appState', 'retry', 'participants']
DOMAINS.push('deviceList', 'messages', 'messageSecret', 'threads', 'contacts', 'privacyToken')
const logoutStoreClear = Object.fromEntries(DOMAINS.map((domain) => [domain, false]))
const store = createStore({ backends: { ours: { stores: { auth: () => auth }, caches: {} } }, providers: { auth: 'ours' } })

// The library tries a handshake that failed again and again and tells only its log.
const log = (level) => (message, details) => {
  if (message === 'noise handshake failed') say({ event: 'failed', error: details?.message ?? message })
  if (process.env.PEER_LOG) process.stderr.write(`${level} ${message} ${JSON.stringify(details ?? null)}\n`)
}
const logger = { level: 'trace', ...Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error'].map((level) => [level, log(level)])) }

const textOf = (message) => message?.conversation ?? message?.extendedTextMessage?.text ?? null
let client

function open() {
  client = new WaClient(
    {
      store,
      sessionId: 'peer',
      chatSocketUrls: [url],
      logoutStoreClear,
      testHooks: { noiseRootCa: { publicKey: Uint8Array.from(Buffer.from(rootKey, 'hex')), serial: Number(rootSerial) } },
    },
    logger,
  )
  client.on('auth_qr', ({ qr }) => say({ event: 'qr', qr }))
  client.on('auth_paired', ({ credentials }) => say({ event: 'paired', jid: credentials.meJid ?? null }))
  // `open` of the library comes with the socket, before a code is shown; what a test waits for is the login.
  client.on('connection_success', () => say({ event: 'open' }))
  client.on('connection', ({ status, reason, code, isLogout }) => {
    if (status === 'open') return
    const loggedOut = isLogout && reason !== 'stream_error_force_login'
    say({ event: loggedOut ? 'logged_out' : 'close', code, reason })
  })
  client.on('client_error', ({ error }) => say({ event: 'error', error: String(error) }))
  client.on('message', ({ stanzaId, chatJid, senderJid, message }) => {
    say({
      event: 'message',
      id: stanzaId,
      chat: chatJid,
      sender: senderJid,
      text: textOf(message?.deviceSentMessage?.message ?? message),
    })
  })
  client.on('message_receipt', ({ stanzaId, stanzaType }) => say({ event: 'receipt', id: stanzaId, type: stanzaType ?? 'delivered' }))
}

const commands = {
  // A client object of its own for each connection, all on the same store. The reply does not wait for the connection.
  connect: async () => {
    open()
    client.connect().catch((error) => say({ event: 'failed', error: String(error?.stack ?? error) }))
    return {}
  },
  disconnect: async () => {
    await client.disconnect()
    return {}
  },
  send: async ({ to, text }) => ({ message_id: (await client.sendMessage(to, { conversation: text })).id }),
  read: async ({ chat, ids }) => {
    for (const id of ids) await client.sendReceipt({ to: chat, id, type: 'read' })
    return {}
  },
  pair_code: async ({ phone }) => ({ code: await client.requestPairingCode(phone) }),
  // Only while disconnected: a client object may hold sessions back.
  forget_sessions: async () => {
    await store.session('peer').session.clear()
    return {}
  },
  logout: async () => {
    await client.logout()
    return {}
  },
  stop: async () => {
    await client?.disconnect()
    setImmediate(() => process.exit(0))
    return {}
  },
}

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { id, cmd, ...rest } = JSON.parse(line)
    try {
      say({ reply: id, ok: true, ...(await commands[cmd](rest)) })
    } catch (error) {
      say({ reply: id, ok: false, error: String(error?.stack ?? error) })
    }
  })
  .on('close', () => process.exit(0))

process.on('unhandledRejection', (error) => say({ event: 'unhandled', error: String(error?.stack ?? error) }))
say({ event: 'started' })
