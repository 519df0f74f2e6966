//! The tree over an epoch's boxes: docs/PROTOCOL.md, "Boxes".
//!
//! As in RFC 9162, 2.1: a tree of n > 1 leaves has the largest power of two below n on its left. Leaves and nodes are
//! hashed under labels of their own, and the leaf names its member.

use crate::{LeafId, bounds, kdf, label};

/// A node of the tree.
pub type Node = [u8; 32];

/// The leaf for a box.
#[must_use]
pub fn leaf(id: &LeafId, ciphertext: &[u8]) -> Node {
    kdf::hash(label::BOX_LEAF, &[id.as_bytes(), ciphertext])
}

/// The root over `leaves`, and the path of each from its sibling upwards. Of no leaves, `None`.
#[must_use]
pub fn build(leaves: &[Node]) -> Option<(Node, Vec<Vec<Node>>)> {
    let mut paths = vec![Vec::with_capacity(bounds::MAX_PATH); leaves.len()];
    if leaves.is_empty() {
        return None;
    }
    let root = subtree(leaves, &mut paths);
    Some((root, paths))
}

fn subtree(leaves: &[Node], paths: &mut [Vec<Node>]) -> Node {
    if let [only] = leaves {
        return *only;
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (left_paths, right_paths) = paths.split_at_mut(left.len());
    let (left, right) = (subtree(left, left_paths), subtree(right, right_paths));
    left_paths.iter_mut().for_each(|path| path.push(right));
    right_paths.iter_mut().for_each(|path| path.push(left));
    node(&left, &right)
}

/// Whether `leaf` stands at `index` among `count` under `root`.
#[must_use]
pub fn verify(root: &Node, leaf: Node, index: usize, count: usize, path: &[Node]) -> bool {
    index < count && climb(leaf, index, count, path) == Some(*root)
}

fn climb(leaf: Node, index: usize, count: usize, path: &[Node]) -> Option<Node> {
    if count == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (sibling, below) = path.split_last()?;
    let left = split(count);
    if index < left {
        Some(node(&climb(leaf, index, left, below)?, sibling))
    } else {
        Some(node(sibling, &climb(leaf, index - left, count - left, below)?))
    }
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

fn node(left: &Node, right: &Node) -> Node {
    kdf::hash(label::BOX_NODE, &[left, right])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Node> {
        (0..count)
            .map(|i| leaf(&LeafId::from_bytes([i as u8; 16]), &i.to_be_bytes()))
            .collect()
    }

    #[test]
    fn every_leaf_of_every_size_has_its_path_and_no_other() {
        for count in 1..=33 {
            let leaves = leaves(count);
            let (root, paths) = build(&leaves).unwrap();
            for (index, path) in paths.iter().enumerate() {
                assert!(path.len() <= bounds::MAX_PATH);
                assert!(verify(&root, leaves[index], index, count, path));
                assert!(!verify(&root, [0; 32], index, count, path));
                let other = (index + 1) % count;
                assert!(
                    other == index || !verify(&root, leaves[index], other, count, path),
                    "{count} {index}"
                );
                let longer = [path.as_slice(), &[[0; 32]]].concat();
                assert!(!verify(&root, leaves[index], index, count, &longer));
            }
        }
    }

    #[test]
    fn the_deepest_path_of_the_largest_epoch_is_within_its_bound() {
        let leaves = leaves(bounds::MAX_MEMBERS);
        let (_, paths) = build(&leaves).unwrap();
        assert_eq!(paths.iter().map(Vec::len).max(), Some(bounds::MAX_PATH));
    }

    #[test]
    fn no_leaves_have_no_root() {
        assert!(build(&[]).is_none());
        assert!(!verify(&[0; 32], [0; 32], 0, 0, &[]));
    }
}
