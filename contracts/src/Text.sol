// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Merkle} from "./Merkle.sol";

/// Up to two adjacent leaves of a text tree; the second is empty where the first is enough.
struct TextOpening {
    bytes leaf0;
    bytes32[] proof0;
    bytes leaf1;
    bytes32[] proof1;
}

/// Committed text: windows of it, byte classes, word starts. Twin of `protocol/text.py`.
library Text {
    uint256 internal constant WINDOW_MAX = 257; // a span and the byte before it: two leaves always hold them
    bytes1 internal constant SEPARATOR = 0xff;
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant HIGHS = ONES << 7;

    error BadTextOpening();
    error BadWindow(uint256 from, uint256 to, uint256 size);

    /// Bytes [from, to) of the text of `size` bytes under `root`.
    function window(bytes32 root, uint256 size, uint256 from, uint256 to, TextOpening calldata t)
        internal
        view
        returns (bytes memory)
    {
        if (from >= to || to > size || to - from > WINDOW_MAX) revert BadWindow(from, to, size);
        uint256 first = from / Merkle.TEXT_LEAF;
        _check(root, size, first, t.leaf0, t.proof0);
        from -= first * Merkle.TEXT_LEAF;
        to -= first * Merkle.TEXT_LEAF;
        if (to <= Merkle.TEXT_LEAF) return t.leaf0[from:to];
        _check(root, size, first + 1, t.leaf1, t.proof1);
        return bytes.concat(t.leaf0[from:], t.leaf1[:to - Merkle.TEXT_LEAF]);
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
        uint256 length = data.length;
        for (uint256 i = 0; i < length && !found; i += 32) {
            uint256 word;
            assembly ("memory-safe") {
                word := mload(add(add(data, 32), i))
            }
            uint256 rest = length - i;
            if (rest < 32) word = (word >> (8 * (32 - rest))); // zeros above: not FF
            word = ~word;
            unchecked {
                found = (word - ONES) & ~word & HIGHS != 0;
            }
        }
    }

    function same(bytes memory a, bytes memory b) internal pure returns (bool) {
        return a.length == b.length && keccak256(a) == keccak256(b);
    }

    function _check(bytes32 root, uint256 size, uint256 index, bytes calldata leaf, bytes32[] calldata proof)
        private
        view
    {
        if (!Merkle.opensBody(root, size, Merkle.TEXT, Merkle.TEXT_LEAF, leaf, index, proof)) revert BadTextOpening();
    }
}
