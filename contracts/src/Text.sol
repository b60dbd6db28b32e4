// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Merkle} from "./Merkle.sol";

/// One leaf of a text tree, or two adjacent ones joined, under one proof. Its hashes, bottom-up: of one leaf its siblings.
/// Of two, as long as the left node's index is odd, that node's sibling and then the right node's; where it is even the two
/// are siblings, and from there on those of their parent.
struct TextOpening {
    bytes leaves;
    bytes32[] proof;
}

/// Committed text: windows of it, byte classes, word starts. Twin of `protocol/text.py`.
library Text {
    uint256 internal constant WINDOW_MAX = 257; // a span and the byte before it: two leaves always hold them
    bytes1 internal constant SEPARATOR = 0xff;
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant HIGHS = ONES << 7;

    error BadTextOpening();
    error BadWindow(uint256 from, uint256 to, uint256 size);

    /// Bytes [from, to) of the text of `size` bytes under `root`; the opening holds the leaves that it takes, and no more.
    function window(bytes32 root, uint256 size, uint256 from, uint256 to, TextOpening calldata t)
        internal
        view
        returns (bytes memory span)
    {
        if (from >= to || to > size || to - from > WINDOW_MAX) revert BadWindow(from, to, size);
        uint256 first = from / Merkle.TEXT_LEAF;
        bool two = (to - 1) / Merkle.TEXT_LEAF != first;
        uint256 data = _load(t.leaves, size - first * Merkle.TEXT_LEAF, two ? 2 * Merkle.TEXT_LEAF : Merkle.TEXT_LEAF);
        uint256 depth = Merkle.depthOf(Merkle.countOf(size, Merkle.TEXT_LEAF));
        if ((two ? _foldTwo(data, first, depth, t) : _foldOne(data, first, depth, t)) != root) revert BadTextOpening();
        assembly ("memory-safe") {
            // In place: the length goes where the bytes before the window were.
            span := add(data, sub(and(from, 0xff), 32)) // TEXT_LEAF is 256
            mstore(span, sub(to, from))
        }
    }

    /// Bytes [from, to) and, if there is one, the byte before them, else 0 (which is no word byte either).
    function windowAfter(bytes32 root, uint256 size, uint256 from, uint256 to, TextOpening calldata t)
        internal
        view
        returns (bytes1 before, bytes memory span)
    {
        if (from == 0) return (0, window(root, size, 0, to, t));
        if (from >= to) revert BadWindow(from, to, size);
        span = window(root, size, from - 1, to, t);
        before = span[0];
        assembly ("memory-safe") {
            // Cut the first byte off in place: move the length one byte up.
            let length := sub(mload(span), 1)
            span := add(span, 1)
            mstore(span, length)
        }
    }

    /// Whether a span may begin at a byte.
    function startsWord(bytes1 before, bytes1 first) internal pure returns (bool) {
        if (isWord(first)) return !isWord(before);
        return (first > 0x20 && first < 0x7f) || (first >= 0xc0 && first < 0xf8);
    }

    function isWord(bytes1 b) internal pure returns (bool) {
        return (b >= "0" && b <= "9") || (b >= "A" && b <= "Z") || (b >= "a" && b <= "z") || b == "_";
    }

    /// Whether byte FF occurs. A word of the complement has a zero byte iff the well-known borrow trick says so.
    function hasSeparator(bytes memory data) internal pure returns (bool found) {
        (uint256 ones, uint256 highs) = (ONES, HIGHS);
        assembly ("memory-safe") {
            let p := add(data, 32)
            let end := add(p, mload(data))
            for {} lt(p, end) { p := add(p, 32) } {
                let word := mload(p)
                let rest := sub(end, p)
                if lt(rest, 32) { word := shr(shl(3, sub(32, rest)), word) } // zeros above: not FF
                word := not(word)
                if and(and(sub(word, ones), not(word)), highs) {
                    found := 1
                    break
                }
            }
        }
    }

    function same(bytes memory a, bytes memory b) internal pure returns (bool) {
        return a.length == b.length && keccak256(a) == keccak256(b);
    }

    /// Where in memory the leaves are now, behind a word of room.
    function _load(bytes calldata leaves, uint256 rest, uint256 most) private pure returns (uint256 data) {
        if (leaves.length != (rest < most ? rest : most)) revert BadTextOpening();
        assembly ("memory-safe") {
            data := add(mload(0x40), 32)
            calldatacopy(data, leaves.offset, leaves.length)
            mstore(0x40, add(data, leaves.length))
        }
    }

    function _foldOne(uint256 data, uint256 index, uint256 depth, TextOpening calldata t) private view returns (bytes32) {
        if (t.proof.length != depth) revert BadTextOpening();
        return Merkle.foldSha(_leafHash(data, t.leaves.length), index, t.proof);
    }

    function _foldTwo(uint256 data, uint256 index, uint256 depth, TextOpening calldata t) private view returns (bytes32) {
        bytes32[] calldata proof = t.proof;
        bytes32 left = _leafHash(data, Merkle.TEXT_LEAF);
        bytes32 right = _leafHash(data + Merkle.TEXT_LEAF, t.leaves.length - Merkle.TEXT_LEAF);
        uint256 used;
        for (; index & 1 == 1; index >>= 1) {
            if (used + 2 > proof.length) revert BadTextOpening();
            (left, right) = (_node(proof[used], left), _node(right, proof[used + 1]));
            used += 2;
        }
        // One sibling for each height above the node that is over both.
        if (proof.length + 1 != depth + used / 2) revert BadTextOpening();
        return Merkle.foldSha(_node(left, right), index >> 1, proof[used:]);
    }

    /// Of a leaf in memory; the two bytes before it are borrowed.
    function _leafHash(uint256 data, uint256 length) private view returns (bytes32 hash) {
        uint256 kind = Merkle.TEXT;
        assembly ("memory-safe") {
            let prefix := sub(data, 32)
            let before := mload(prefix)
            mstore(prefix, or(shl(16, shr(16, before)), kind)) // 00 | kind
            if iszero(staticcall(gas(), 2, sub(data, 2), add(length, 2), 0, 32)) { revert(0, 0) }
            mstore(prefix, before)
            hash := mload(0)
        }
    }

    function _node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore8(m, 1)
            mstore(add(m, 1), left)
            mstore(add(m, 33), right)
            if iszero(staticcall(gas(), 2, m, 65, 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
    }
}
