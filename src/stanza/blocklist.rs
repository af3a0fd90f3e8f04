//! The list of blocked users (protocol 05d §5): question and answer.

use super::element::Element;
use super::iq;
use crate::wire::{Jid, Node};

/// Users of one list that are looked at.
const MOST: usize = 64_000;

/// Asks for the list, without id. With the hash of the one we have the answer may say "unchanged".
#[must_use]
pub fn query(known: Option<&str>) -> Node {
    let item = known.map(|hash| Node::new("item").attr("dhash", hash.to_owned()));
    iq::get("blocklist", Jid::service()).children(item)
}

/// A whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklist {
    /// For the next question.
    pub hash: Option<String>,
    /// Who is blocked: every address that the server names for a user.
    pub users: Vec<Vec<Jid>>,
}

/// Reads an answer; `None`: the list is the one we have.
#[must_use]
pub fn answer<'n>(answer: impl Element<'n>) -> Option<Blocklist> {
    let list = answer.child("list");
    let items: Vec<_> = match list {
        Some(list) => list.each_of("item").take(MOST).collect(),
        None => answer.each_of("item").take(MOST).collect(),
    };
    if list.is_none() && items.is_empty() {
        return None;
    }
    let users = items.into_iter().map(|item| {
        let named = ["jid", "pn_jid"].into_iter().filter_map(|key| item.address(key));
        named.map(|jid| jid.to_user()).collect::<Vec<_>>()
    });
    Some(Blocklist {
        hash: list.and_then(|list| list.text("dhash")).map(|hash| hash.into_owned()),
        users: users.filter(|named| !named.is_empty()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_every_address_and_no_list_means_unchanged() {
        let (lid, pn) = (Jid::lid("5").unwrap(), Jid::pn("15550001").unwrap());
        let item = Node::new("item").attr("jid", lid.clone()).attr("pn_jid", pn.clone());
        let bare = Node::new("item").attr("display_name", "x");
        let list = Node::new("list").attr("dhash", "h").child(item.clone()).child(bare);
        let read = answer(&Node::new("iq").child(list)).unwrap();
        assert_eq!(read, Blocklist { hash: Some("h".into()), users: vec![vec![lid, pn]] });
        assert_eq!(answer(&Node::new("iq")), None);
        assert_eq!(answer(&Node::new("iq").child(item)).unwrap().users.len(), 1);
        assert_eq!(answer(&Node::new("iq").child(Node::new("list"))).unwrap().users.len(), 0);
        assert_eq!(query(Some("h")).find("item").unwrap().str("dhash").unwrap(), "h");
        assert!(query(None).find("item").is_none());
    }
}
