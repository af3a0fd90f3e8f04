//! Spanish.

use super::{Labels, Words};
use crate::client::limits::decide::Why;
use crate::client::limits::health::Standing;
use crate::client::limits::signals::SignalKind;

pub(super) const LABELS: Labels = Labels {
    account: "cuenta",
    until: "hasta",
    no_end: "no se conoce el fin",
    since: "desde",
    meaning: "qué significa",
    done: "qué hace Palomar",
    advice: "qué hacer",
    about: "sobre",
    said: "el servicio dijo",
    waiting: "mensajes en espera",
    quota: "chats nuevos de la cuota del servicio",
    new_chats: "chats nuevos iniciados",
    hour: "en la última hora",
    day: "en el último día",
    nothing_to_clear: "no hay nada que confirmar",
    cleared: "confirmado; lo que esperaba sigue en la próxima conexión",
};

pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Fine => "nada limita esta cuenta",
        Standing::Limited => "limitada por un tiempo",
        Standing::Alarm => "debe actuar una persona",
        Standing::Stopped => "detenida",
    }
}

pub(super) fn why(why: Why) -> &'static str {
    match why {
        Why::Challenge => "el servicio pide una persona; nada se envía solo hasta que se confirme",
        Why::Paused => "el servicio le pidió una pausa a esta cuenta",
        Why::Companions => {
            "el servicio restringe los dispositivos vinculados; primero debe mirar una persona"
        }
        Why::Timelock => "por ahora el servicio no permite chats nuevos",
        Why::Capped => "la cuota de chats nuevos del servicio está agotada",
        Why::ChatRefused => "el servicio rechazó un mensaje a este chat",
        Why::Blocked => "esta cuenta bloqueó al destinatario",
        Why::SameText => {
            "el mismo texto fue a varios chats nuevos en una hora; escriba a personas, no a listas"
        }
        Why::NewChats => "el presupuesto de chats nuevos está agotado por ahora",
        Why::Spread => "lo que queda de la cuota de chats nuevos se reparte entre sus días",
        Why::NearlyCapped => "la cuota de chats nuevos está casi agotada; solo salen mensajes sueltos",
        Why::AskingCap => "se está consultando la cuota de chats nuevos",
        Why::FirstMessage => "el primer mensaje a este chat todavía está en camino",
    }
}

const ANSWER: &str = "Responda a quienes le escribieron y no escriba a nadie nuevo hasta el fin. Los contactos que \
    vuelven a escribir quedan libres.";

pub(super) fn signal(signal: SignalKind) -> Words {
    match signal {
        SignalKind::Timelock => Words {
            title: "los chats nuevos están cerrados",
            meaning: "El servicio ve que esta cuenta escribe a demasiadas personas que no responden.",
            done: "Siguen los mensajes a contactos que le dieron una ficha a esta cuenta. Los demás se rechazan; los de \
                una campaña esperan y siguen solos al terminar.",
            advice: ANSWER,
        },
        SignalKind::Companions => Words {
            title: "los dispositivos vinculados están restringidos",
            meaning: "El cierre apunta a los dispositivos vinculados y el teléfono queda libre: el aviso más claro \
                antes de que se desvincule este dispositivo.",
            done: "Las campañas esperan y no se crean grupos hasta que una persona lo confirme.",
            advice: "Busque en el teléfono un aviso del servicio, piense cómo se usa esta cuenta y confirme con \
                `palomar accounts health ID --clear`.",
        },
        SignalKind::Cap => Words {
            title: "los chats nuevos tienen un tope",
            meaning: "El servicio cuenta los chats con personas que no respondieron, y esta cuenta está cerca de la \
                cuota o la agotó.",
            done: "Lo que queda se reparte entre los días hasta el fin del ciclo. Agotada la cuota, solo se escribe a \
                contactos que le dieron una ficha a esta cuenta; las campañas esperan.",
            advice: "Escriba a menos personas nuevas. Las respuestas no devuelven la cuota; la devuelve el fin del \
                ciclo.",
        },
        SignalKind::Challenge => Words {
            title: "el servicio pide una persona",
            meaning: "El servicio duda de que un humano use esta cuenta y pide una prueba.",
            done: "No se envía nada que no se haya ordenado en el último minuto. Palomar nunca responde solo a esa \
                pregunta.",
            advice: "Abra el teléfono o un cliente oficial y haga lo que pide, o cierre la sesión de este dispositivo. \
                Después confirme con `palomar accounts health ID --clear`.",
        },
        SignalKind::Brigading => Words {
            title: "desconocidos inundan esta cuenta",
            meaning: "El servicio ve que muchas personas le escriben a la vez a esta cuenta, contra su voluntad.",
            done: "Nada; solo se muestra.",
            advice: "Limite en el teléfono quién puede escribirle y agregarla a grupos.",
        },
        SignalKind::Chat => Words {
            title: "un chat fue rechazado",
            meaning: "El servicio no dejó que esta cuenta le escriba a un contacto.",
            done: "Ese chat se rechaza por un día, o hasta que el contacto dé una ficha.",
            advice: "Espere a que el contacto escriba, o escriba desde el teléfono.",
        },
        SignalKind::Messages => Words {
            title: "los mensajes están en pausa",
            meaning: "El servicio avisó que esta cuenta escribe demasiado rápido.",
            done: "Todos los mensajes esperan hasta la hora que dijo el servicio y siguen solos.",
            advice: "Por ahora nada; después envíe menos.",
        },
        SignalKind::GroupAdds => Words {
            title: "agregar personas a grupos está en pausa",
            meaning: "El servicio no permite agregar personas, en esta cuenta o en un grupo, y quizás tampoco crear \
                grupos.",
            done: "Esas operaciones se rechazan hasta el fin, sin preguntarle al servicio.",
            advice: "Use enlaces de invitación en lugar de agregar personas.",
        },
        SignalKind::GroupParticipants => Words {
            title: "menos personas a la vez",
            meaning: "El servicio acepta solo una cantidad de personas en una operación de grupo.",
            done: "Las operaciones mayores se rechazan sin preguntarle al servicio.",
            advice: "Agregue menos personas a la vez, o use enlaces de invitación.",
        },
        SignalKind::GroupBlock => Words {
            title: "las acciones de grupo están bloqueadas",
            meaning: "El servicio bloqueó una acción de grupo de esta cuenta para proteger a otros.",
            done: "Cambiar roles, agregar personas y crear grupos descansan por un día.",
            advice: "Busque un aviso en el teléfono. Si fue un error, confirme con `palomar accounts health ID --clear`.",
        },
        SignalKind::GroupLocked => Words {
            title: "los enlaces de un grupo están cerrados",
            meaning: "Por un tiempo el servicio no deja que nadie entre a este grupo por enlace.",
            done: "Las entradas y los enlaces del grupo se rechazan hasta el fin.",
            advice: "Espere hasta el fin.",
        },
        SignalKind::GroupSuspended => Words {
            title: "un grupo está suspendido",
            meaning: "El servicio suspendió el grupo.",
            done: "No se le envía nada.",
            advice: "Un administrador puede pedir una revisión en el teléfono.",
        },
        SignalKind::Usync => Words {
            title: "las consultas sobre usuarios están en pausa",
            meaning: "Esta cuenta consultó al servicio sobre demasiados usuarios.",
            done: "Esas consultas esperan hasta el fin, y con ellas los mensajes que las necesitan.",
            advice: "Consulte menos números.",
        },
        SignalKind::ClientExpiry => Words {
            title: "la versión del cliente vence",
            meaning: "A partir de esa hora el servicio rechazará la versión que habla Palomar.",
            done: "Hasta entonces se conecta.",
            advice: "Actualice Palomar o indíquele una versión más nueva; `palomar doctor` dice cuál tiene.",
        },
        SignalKind::Ban => Words {
            title: "expulsada por un tiempo",
            meaning: "El servicio expulsó este número por un tiempo.",
            done: "La cuenta no se conecta antes del fin y nunca se vincula de nuevo sola.",
            advice: "Abra el teléfono y lea lo que dice el servicio. Después del fin conéctese otra vez y envíe menos.",
        },
        SignalKind::Stopped => Words {
            title: "la cuenta está detenida",
            meaning: "El servicio terminó este vínculo o rechaza la conexión, o la detuvo una persona.",
            done: "No se conecta.",
            advice: "`palomar accounts` dice por qué. Si el vínculo se perdió, vincúlela de nuevo: `palomar link ID`.",
        },
    }
}
