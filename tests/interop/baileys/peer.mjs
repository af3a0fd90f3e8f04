// Baileys, driven by a test: one JSON command a line on stdin, one JSON event or reply a line on stdout.
//
// Start: node peer.mjs URL ROOT_KEY_HEX AUTH_DIR. The library connects, unmodified, to the URL; everything else
// is a command: {"id", "cmd": "connect" | "pair_code" | "send" | "read" | "forget_session" | "logout" | "stop"}.
// A reply is {"reply": id, ...}; an event is {"event": name, ...}.

import { createInterface } from 'node:readline'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import makeWASocket, {
  Browsers,
  DisconnectReason,
  WA_CERT_DETAILS,
  generateMessageIDV2,
  useMultiFileAuthState,
} from 'baileys'
import pino from 'pino'

const [url, rootKey, authDir] = process.argv.slice(2)
if (!/^wss?:\/\/127\./.test(url)) throw new Error('only loopback addresses are dialled')
WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(rootKey, 'hex')

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const sent = new Map()
let socket
let closing = false
let identity = {}
// The last write of the credentials; the process must not end before it has.
let saving = Promise.resolve()

const textOf = (message) => message?.conversation ?? message?.extendedTextMessage?.text ?? null

async function connect(options) {
  identity = options ?? identity
  const { state, saveCreds } = await useMultiFileAuthState(authDir)
  socket = makeWASocket({
    auth: state,
    waWebSocketUrl: url,
    browser: identity.browser ?? Browsers.macOS('Chrome'),
    logger: pino({ level: process.env.PEER_LOG ?? 'silent' }, pino.destination(2)),
    markOnlineOnConnect: false,
    syncFullHistory: false,
    fireInitQueries: true,
    getMessage: async (key) => sent.get(key.id),
  })
  socket.ev.on('creds.update', () => {
    saving = saving.then(saveCreds)
  })
  socket.ev.on('connection.update', (update) => {
    if (update.qr) say({ event: 'qr', qr: update.qr })
    if (update.connection === 'open') say({ event: 'open', jid: socket.user?.id, lid: socket.user?.lid })
    if (update.connection === 'close') {
      const code = update.lastDisconnect?.error?.output?.statusCode ?? null
      say({ event: 'close', code, reason: String(update.lastDisconnect?.error?.message ?? '') })
      if (!closing && code === DisconnectReason.restartRequired) connect()
    }
  })
  socket.ev.on('messages.upsert', ({ type, messages }) => {
    for (const message of messages) {
      say({
        event: 'message',
        upsert: type,
        id: message.key.id,
        chat: message.key.remoteJid,
        chat_alt: message.key.remoteJidAlt ?? null,
        from_me: message.key.fromMe ?? false,
        text: textOf(message.message?.deviceSentMessage?.message ?? message.message),
        stub: message.messageStubType ?? null,
      })
      // While the library buffers events, an update of a message is folded into the message.
      if (message.key.fromMe && message.status != null) say({ event: 'status', id: message.key.id, status: message.status })
    }
  })
  socket.ev.on('messages.update', (updates) => {
    for (const { key, update } of updates) {
      if (update.message) {
        say({ event: 'message', upsert: 'update', id: key.id, chat: key.remoteJid, chat_alt: key.remoteJidAlt ?? null, from_me: key.fromMe ?? false, text: textOf(update.message), stub: null })
      } else if (update.status != null) {
        say({ event: 'status', id: key.id, status: update.status })
      }
    }
  })
}

const commands = {
  connect: async ({ browser }) => {
    await connect({ browser })
    return {}
  },
  pair_code: async ({ phone }) => ({ code: await socket.requestPairingCode(phone) }),
  send: async ({ to, text }) => {
    const messageId = generateMessageIDV2(socket.user?.id)
    // Before it leaves: a retry receipt may be back before the library says that it was sent.
    sent.set(messageId, { extendedTextMessage: { text } })
    await socket.sendMessage(to, { text }, { messageId })
    return { message_id: messageId }
  },
  read: async ({ chat, ids }) => {
    await socket.readMessages(ids.map((id) => ({ remoteJid: chat, id, fromMe: false })))
    return {}
  },
  // Only while stopped or before `connect`: the session files are cached while connected.
  forget_sessions: async () => {
    const files = readdirSync(authDir).filter((name) => name.startsWith('session-'))
    files.forEach((name) => rmSync(join(authDir, name)))
    return { removed: files.length }
  },
  disconnect: async () => {
    closing = true
    const ended = new Promise((resolve) => socket.ev.on('connection.update', (u) => u.connection === 'close' && resolve()))
    socket.end(undefined)
    await ended
    closing = false
    return {}
  },
  logout: async () => {
    closing = true
    await socket.logout()
    return {}
  },
  stop: async () => {
    closing = true
    socket?.end(undefined)
    await saving
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
