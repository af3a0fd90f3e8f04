//! What a group is, as the server describes it (05c §7): `<group>` of a query, a creation or a join. Asking for it, and
//! keeping it true by notifications, is not here.

use super::element::{Element, ErrorInfo, Malformed};
use super::outgoing::Addressing;
use crate::wire::Jid;

/// More members than the service allows in any group.
const MAX_MEMBERS: usize = 19_999;

/// A group can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The server's word instead of a group.
    #[error(transparent)]
    Refused(#[from] ErrorInfo),
    /// No group, or one without a usable id.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More members than a group can have.
    #[error("a group of more than {MAX_MEMBERS} members")]
    TooManyMembers,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ordinary; unknown words too.
    Member,
    /// May administer.
    Admin,
    /// Made the group.
    SuperAdmin,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its address in the group's namespace.
    pub jid: Jid,
    /// By phone number, where the server says it.
    pub pn: Option<Jid>,
    /// By hidden id, where the server says it.
    pub lid: Option<Jid>,
    /// What it may do.
    pub role: Role,
    /// The masked number that announcement groups show.
    pub display_name: Option<String>,
    /// The user name.
    pub username: Option<String>,
    /// The label that it gave itself.
    pub label: Option<String>,
    /// `addressable="false"`: nothing can be sent to it.
    pub addressable: bool,
}

/// Somebody did something at some time (Unix seconds).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// When.
    pub t: Option<u64>,
    /// Who, in the group's namespace.
    pub by: Option<Jid>,
    /// Who, by phone number.
    pub by_pn: Option<Jid>,
}

/// The description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Names this version of it: the next change must refer to it.
    pub id: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// Who wrote it, and when.
    pub set: Done,
}

/// A group or community.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its address.
    pub id: Jid,
    /// The name.
    pub subject: Option<String>,
    /// Who gave the name, and when.
    pub subject_set: Done,
    /// Who made the group, and when.
    pub created: Done,
    /// The creator's country, two letters.
    pub creator_country: Option<String>,
    /// The namespace of its messages.
    pub addressing: Addressing,
    /// How many members it has; may be more than are listed.
    pub size: Option<u64>,
    /// The version of the list of members.
    pub members_version: Option<u64>,
    /// The version of the announcement settings.
    pub announcement_version: Option<u64>,
    /// We were added and have not confirmed.
    pub unconfirmed: bool,
    /// The members that can be read.
    pub members: Vec<Member>,
    /// The server says that the list is incomplete, or an entry could not be read.
    pub incomplete: bool,
    /// The description.
    pub description: Option<Description>,
    /// Only admins write.
    pub announcement: bool,
    /// Only admins change subject, picture and description.
    pub locked: bool,
    /// Messages disappear after so many seconds.
    pub ephemeral: Option<u64>,
    /// Who adds members: `admin_add` or `all_member_add`.
    pub member_add_mode: Option<String>,
    /// Who has the invite link.
    pub member_link_mode: Option<String>,
    /// Who shares the history with new members.
    pub history_mode: Option<String>,
    /// Joining is approved by an admin.
    pub join_approval: bool,
    /// It is a community.
    pub community: bool,
    /// The community that it belongs to.
    pub parent: Option<Jid>,
    /// It is the announcement group of its community, if `announcement` says so too.
    pub default_sub_group: bool,
    /// Children that stand for nothing above, by tag, in order: flags that newer servers know.
    pub flags: Vec<String>,
}

impl Group {
    /// Reads the answer to a query: the `<group>` (or `<community>`) inside, or the server's refusal.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn parse_answer<'n>(answer: impl Element<'n>) -> Result<Self, GroupError> {
        if let Some(group) = answer.child("group").or_else(|| answer.child("community")) {
            return Self::parse(group);
        }
        Err(ErrorInfo::of(answer).map_or(GroupError::Malformed(Malformed("group")), GroupError::Refused))
    }

    /// Reads a `<group>`.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn parse<'n>(group: impl Element<'n>) -> Result<Self, GroupError> {
        let (members, skipped) = members(group)?;
        let flag = |tag: &str| group.child(tag).is_some();
        let mode = |tag: &str| group.child(tag).and_then(Element::content_str);
        let text = |key: &str| group.text(key).map(|text| text.into_owned());
        Ok(Self {
            id: id(group)?,
            subject: text("subject"),
            subject_set: Done {
                t: group.number("s_t"),
                by: group.address("s_o"),
                by_pn: group.address("s_o_pn"),
            },
            created: Done {
                t: group.number("creation"),
                by: group.address("creator"),
                by_pn: group.address("creator_pn"),
            },
            creator_country: text("creator_country_code"),
            addressing: if group.says("addressing_mode", "lid") { Addressing::Lid } else { Addressing::Pn },
            size: group.number("size"),
            members_version: group.number("p_v_id"),
            announcement_version: group.number("a_v_id"),
            unconfirmed: group.says("ack", "false"),
            members,
            incomplete: skipped || flag("missing_participant_identification"),
            description: group.child("description").map(description),
            announcement: flag("announcement"),
            locked: flag("locked"),
            ephemeral: group.child("ephemeral").and_then(|node| node.number("expiration")),
            member_add_mode: mode("member_add_mode"),
            member_link_mode: mode("member_link_mode"),
            history_mode: mode("member_share_group_history_mode"),
            join_approval: group.child("membership_approval_mode").is_some_and(join_approval),
            community: flag("parent"),
            parent: group.child("linked_parent").and_then(|node| node.address("jid")),
            default_sub_group: flag("default_sub_group"),
            flags: group.each().map(Element::name).filter(|tag| !is_read(tag)).map(str::to_owned).collect(),
        })
    }

    /// Whether it is the announcement group of a community.
    #[must_use]
    pub fn is_community_announcement(&self) -> bool {
        self.default_sub_group && self.announcement
    }
}

/// The user part alone, or the whole address.
fn id<'n>(group: impl Element<'n>) -> Result<Jid, Malformed> {
    let text = group.need("id")?;
    let full = if text.contains('@') { text.into_owned() } else { format!("{text}@g.us") };
    full.parse().map_err(|_| Malformed("id"))
}

/// The members, and whether an entry without an address was left out.
fn members<'n>(group: impl Element<'n>) -> Result<(Vec<Member>, bool), GroupError> {
    let (mut members, mut skipped) = (Vec::new(), false);
    for (at, entry) in group.each_of("participant").enumerate() {
        if at >= MAX_MEMBERS {
            return Err(GroupError::TooManyMembers);
        }
        match member(entry) {
            Some(member) => members.push(member),
            None => skipped = true,
        }
    }
    Ok((members, skipped))
}

fn member<'n>(entry: impl Element<'n>) -> Option<Member> {
    let text = |key: &str| entry.text(key).map(|text| text.into_owned());
    Some(Member {
        jid: entry.address("jid")?,
        pn: entry.address("phone_number"),
        lid: entry.address("lid"),
        role: match entry.text("type").as_deref() {
            Some("admin") => Role::Admin,
            Some("superadmin") => Role::SuperAdmin,
            _ => Role::Member,
        },
        display_name: text("display_name"),
        username: text("username"),
        label: text("participant_label"),
        addressable: !entry.says("addressable", "false"),
    })
}

fn description<'n>(node: impl Element<'n>) -> Description {
    Description {
        id: node.text("id").map(|id| id.into_owned()),
        body: node.child("body").and_then(Element::content_str),
        set: Done {
            t: node.number("t"),
            by: node.address("participant"),
            by_pn: node.address("participant_pn"),
        },
    }
}

/// Without a state it is on.
fn join_approval<'n>(mode: impl Element<'n>) -> bool {
    !mode.child("group_join").is_some_and(|join| join.has("state") && !join.says("state", "on"))
}

/// Children that have a field of their own.
fn is_read(tag: &str) -> bool {
    const READ: [&str; 13] = [
        "participant",
        "description",
        "announcement",
        "locked",
        "ephemeral",
        "member_add_mode",
        "member_link_mode",
        "member_share_group_history_mode",
        "membership_approval_mode",
        "parent",
        "linked_parent",
        "default_sub_group",
        "missing_participant_identification",
    ];
    READ.contains(&tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Node;

    fn answer(group: Node) -> Node {
        Node::new("iq").attr("type", "result").child(group)
    }

    #[test]
    fn an_error_no_id_and_too_many_members_are_errors_and_a_member_without_address_is_left_out() {
        let refused = Node::new("iq").child(Node::new("error").attr("code", "403").attr("text", "forbidden"));
        assert!(matches!(Group::parse_answer(&refused), Err(GroupError::Refused(info)) if info.code == 403));
        assert_eq!(Group::parse_answer(&Node::new("iq")), Err(Malformed("group").into()));
        assert_eq!(Group::parse_answer(&answer(Node::new("group"))), Err(Malformed("id").into()));
        assert_eq!(
            Group::parse_answer(&answer(Node::new("group").attr("id", "no id"))),
            Err(Malformed("id").into())
        );
        let named = Node::new("group").attr("id", "120363000000000001");
        let strangers = (0..=MAX_MEMBERS).map(|_| Node::new("participant").attr("jid", "5@lid"));
        let many = answer(named.clone().children(strangers));
        assert_eq!(Group::parse_answer(&many), Err(GroupError::TooManyMembers));
        let odd = Node::new("participant").attr("jid", "5@lid").attr("type", "emperor");
        let group = named.children([odd, Node::new("participant")]).child(Node::new("hidden_group"));
        let group = Group::parse_answer(&answer(group)).unwrap();
        assert!(group.incomplete && group.members.len() == 1 && group.members[0].role == Role::Member);
        assert_eq!((group.addressing, group.flags), (Addressing::Pn, vec!["hidden_group".to_owned()]));
    }

    #[test]
    fn an_approval_mode_without_a_state_is_on() {
        let group = |state: Option<&'static str>| {
            let join = Node::new("group_join").opt_attr("state", state);
            let mode = Node::new("membership_approval_mode").child(join);
            Group::parse(&Node::new("group").attr("id", "1@g.us").child(mode)).unwrap().join_approval
        };
        assert_eq!([group(None), group(Some("on")), group(Some("off"))], [true, true, false]);
    }
}
