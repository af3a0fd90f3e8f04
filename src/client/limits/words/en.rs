//! English.

use super::{Labels, Words};
use crate::client::limits::decide::Why;
use crate::client::limits::health::Standing;
use crate::client::limits::signals::SignalKind;

pub(super) const LABELS: Labels = Labels {
    account: "account",
    until: "until",
    no_end: "no end is known",
    since: "since",
    meaning: "what it means",
    done: "what Palomar does",
    advice: "what to do",
    about: "about",
    said: "the service said",
    waiting: "waiting messages",
    quota: "new chats of the service's quota",
    new_chats: "new chats begun",
    hour: "in the last hour",
    day: "in the last day",
    nothing_to_clear: "there is nothing to clear",
    cleared: "cleared; what waited goes on at the next connection",
};

pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Fine => "nothing limits this account",
        Standing::Limited => "limited for a time",
        Standing::Alarm => "a person has to act",
        Standing::Stopped => "stopped",
    }
}

pub(super) fn why(why: Why) -> &'static str {
    match why {
        Why::Challenge => "the service wants a person; nothing is sent by itself until that is cleared",
        Why::Paused => "the service told this account to pause",
        Why::Companions => "the service restricts linked devices; a person has to look first",
        Why::Timelock => "the service allows no new chats for now",
        Why::Capped => "the service's quota of new chats is used up",
        Why::ChatRefused => "the service refused a message to this chat",
        Why::Blocked => "this account has blocked the recipient",
        Why::SameText => {
            "the same text went to several new chats within an hour; write to people, not at them"
        }
        Why::NewChats => "the budget of new chats is used up for now",
        Why::Spread => "what is left of the quota of new chats is spread over its days",
        Why::NearlyCapped => "the quota of new chats is nearly used up; only single messages go",
        Why::AskingCap => "the quota of new chats is being asked for",
        Why::FirstMessage => "the first message to this chat is still under way",
    }
}

const ANSWER: &str = "Answer people who wrote to you, and write to nobody new until it ends. Contacts that write again \
    become free.";

pub(super) fn signal(signal: SignalKind) -> Words {
    match signal {
        SignalKind::Timelock => Words {
            title: "new chats are locked",
            meaning: "The service has found that this account writes to too many people who do not answer.",
            done: "Messages to contacts that gave this account a token go on. All others are refused; those of a \
                campaign wait and go on by themselves at the end.",
            advice: ANSWER,
        },
        SignalKind::Companions => Words {
            title: "linked devices are restricted",
            meaning: "The lock is aimed at linked devices while the phone stays free: the plainest warning before \
                this device is unlinked.",
            done: "Campaigns wait, and no group is created, until a person has confirmed.",
            advice: "Look at the phone for a notice of the service, think about how this account is used, then \
                confirm with `palomar accounts health ID --clear`.",
        },
        SignalKind::Cap => Words {
            title: "new chats are capped",
            meaning: "The service counts chats with people who have not answered, and this account is near the \
                quota or has used it up.",
            done: "What is left is spread over the days to the end of the cycle. When it is used up, only contacts \
                that gave this account a token are written to; campaigns wait.",
            advice: "Write to fewer new people. Answers of others do not give the quota back; the end of the cycle \
                does.",
        },
        SignalKind::Challenge => Words {
            title: "the service wants a person",
            meaning: "The service doubts that a human uses this account and asks for a proof.",
            done: "Nothing is sent but what was ordered within the last minute. Palomar never answers such a \
                question by itself.",
            advice: "Open the phone or an official client and do what it asks, or log this device out. Then clear it \
                with `palomar accounts health ID --clear`.",
        },
        SignalKind::Brigading => Words {
            title: "strangers flood this account",
            meaning: "The service sees that many people write to this account at once, against its will.",
            done: "Nothing; it is only shown.",
            advice: "Restrict on the phone who may write to this account and add it to groups.",
        },
        SignalKind::Chat => Words {
            title: "one chat was refused",
            meaning: "The service did not let this account write to one contact.",
            done: "This chat is refused for a day, or until its contact gives a token.",
            advice: "Wait until the contact writes, or write from the phone.",
        },
        SignalKind::Messages => Words {
            title: "messages pause",
            meaning: "The service has told this account that it writes too fast.",
            done: "All messages wait until the time that the service named, and go on by themselves.",
            advice: "Nothing now; send less afterwards.",
        },
        SignalKind::GroupAdds => Words {
            title: "adding people to groups pauses",
            meaning: "The service allows no adding, for this account or for one group, and perhaps no new groups.",
            done: "Such operations are refused until the end, without asking the service.",
            advice: "Use invite links in place of adding people.",
        },
        SignalKind::GroupParticipants => Words {
            title: "fewer people at once",
            meaning: "The service takes only so many people in one group operation.",
            done: "Larger operations are refused without asking the service.",
            advice: "Add fewer people at once, or use invite links.",
        },
        SignalKind::GroupBlock => Words {
            title: "group actions are blocked",
            meaning: "The service has blocked a group action of this account to protect others.",
            done: "Changing roles, adding people and creating groups rest for a day.",
            advice: "Look at the phone for a notice. If it was a mistake, clear it with `palomar accounts health ID \
                --clear`.",
        },
        SignalKind::GroupLocked => Words {
            title: "a group's links are closed",
            meaning: "The service lets nobody join this group by link for a time.",
            done: "Joins and links of the group are refused until the end.",
            advice: "Wait for the end.",
        },
        SignalKind::GroupSuspended => Words {
            title: "a group is suspended",
            meaning: "The service has suspended the group.",
            done: "Nothing is sent to it.",
            advice: "An admin can ask for a review on the phone.",
        },
        SignalKind::Usync => Words {
            title: "questions about users pause",
            meaning: "This account has asked the service about too many users.",
            done: "Such questions wait until the end; messages that need one wait with them.",
            advice: "Look up fewer numbers.",
        },
        SignalKind::ClientExpiry => Words {
            title: "the client version expires",
            meaning: "The service will refuse the version that Palomar speaks from that time on.",
            done: "It connects until then.",
            advice: "Update Palomar, or give it a newer client version; `palomar doctor` says which one it has.",
        },
        SignalKind::Ban => Words {
            title: "banned for a time",
            meaning: "The service has banned this number for a time.",
            done: "The account does not connect before the end, and is never linked anew by itself.",
            advice: "Open the phone and read what the service says. After the end connect again; send less.",
        },
        SignalKind::Stopped => Words {
            title: "the account stands still",
            meaning: "The service has ended this link or refuses the login, or a person has stopped it.",
            done: "It does not connect.",
            advice: "`palomar accounts` says why. If the link is gone, link the account anew: `palomar link ID`.",
        },
    }
}
