// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Merkle} from "../src/Merkle.sol";
import {Text, TextOpening} from "../src/Text.sol";
import {T} from "./Vm.t.sol";

contract Windows {
    function window(bytes32 root, uint256 size, uint256 from, uint256 to, TextOpening calldata t)
        external
        view
        returns (bytes memory)
    {
        return Text.window(root, size, from, to, t);
    }

    function windowAfter(bytes32 root, uint256 size, uint256 from, uint256 to, TextOpening calldata t)
        external
        view
        returns (bytes1 before, bytes memory span)
    {
        bytes memory first = Text.window(root, size, from - 1, to, t);
        bytes32 was = keccak256(first);
        (before, span) = Text.windowAfter(root, size, from, to, t);
        require(keccak256(first) == was, "one window writes over another");
    }

    function hasSeparator(bytes memory data) external pure returns (bool) {
        return Text.hasSeparator(data);
    }
}

/// Trees of text, whole or with made-up siblings.
abstract contract Texts is T {
    function leafHash(bytes memory leaf) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(0), Merkle.TEXT, leaf));
    }

    function nodeHash(bytes32 l, bytes32 r) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(1), l, r));
    }

    function cut(bytes memory data, uint256 from, uint256 to) internal pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) part[i - from] = data[i];
    }

    /// The root of a tree of that depth in which `leaves` (one leaf or two) stand at `first`, and their opening: all else
    /// in the tree is drawn.
    function deep(bytes memory leaves, uint256 first, uint256 depth, uint256 salt)
        internal
        pure
        returns (bytes32 root, TextOpening memory o)
    {
        o.leaves = leaves;
        bytes32[] memory proof = new bytes32[](2 * depth);
        uint256 used;
        uint256 height;
        if (leaves.length > Merkle.TEXT_LEAF) {
            bytes32 left = leafHash(cut(leaves, 0, Merkle.TEXT_LEAF));
            bytes32 right = leafHash(cut(leaves, Merkle.TEXT_LEAF, leaves.length));
            for (; first & 1 == 1; first >>= 1) {
                (proof[used], proof[used + 1]) = (drawn(salt, used), drawn(salt, used + 1));
                (left, right) = (nodeHash(proof[used], left), nodeHash(right, proof[used + 1]));
                (used, height) = (used + 2, height + 1);
            }
            (root, first, height) = (nodeHash(left, right), first >> 1, height + 1);
        } else {
            root = leafHash(leaves);
        }
        for (; height < depth; ++height) {
            proof[used] = drawn(salt, used);
            root = first & 1 == 0 ? nodeHash(root, proof[used]) : nodeHash(proof[used], root);
            (used, first) = (used + 1, first >> 1);
        }
        assembly ("memory-safe") {
            mstore(proof, used)
        }
        o.proof = proof;
    }

    function drawn(uint256 salt, uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("sibling", salt, i));
    }
}

contract TextTest is Texts {
    Windows windows = new Windows();

    function test_aSeparatorIsSeenWhereverItIs() public view {
        for (uint256 n = 1; n < 100; n += 7) {
            bytes memory data = new bytes(n);
            for (uint256 i = 0; i < n; ++i) data[i] = bytes1(uint8(0xfe - (i & 1)));
            require(!windows.hasSeparator(data), "none");
            for (uint256 i = 0; i < n; ++i) {
                bytes1 was = data[i];
                data[i] = 0xff;
                require(windows.hasSeparator(data), "one");
                data[i] = was;
            }
        }
    }

    function textOf(uint256 size, uint256 salt) internal pure returns (bytes memory data) {
        data = new bytes(size);
        for (uint256 i = 0; i < size; ++i) data[i] = bytes1(uint8(uint256(keccak256(abi.encode(salt, i / 32))) >> (i % 32 * 8)));
    }

    /// All nodes of the tree, level by level.
    function nodes(bytes memory data) internal pure returns (bytes32[][] memory levels) {
        uint256 count = Merkle.countOf(data.length, Merkle.TEXT_LEAF);
        uint256 depth = Merkle.depthOf(count);
        levels = new bytes32[][](depth + 1);
        levels[0] = new bytes32[](1 << depth);
        for (uint256 i = 0; i < 1 << depth; ++i) {
            uint256 end = 256 * (i + 1) < data.length ? 256 * (i + 1) : data.length;
            levels[0][i] = i < count ? leafHash(cut(data, 256 * i, end)) : sha256(hex"02");
        }
        for (uint256 d = 1; d <= depth; ++d) {
            levels[d] = new bytes32[](1 << (depth - d));
            for (uint256 i = 0; i < levels[d].length; ++i) {
                levels[d][i] = nodeHash(levels[d - 1][2 * i], levels[d - 1][2 * i + 1]);
            }
        }
    }

    /// As `protocol/windows.py` opens it.
    function openingOf(bytes memory data, bytes32[][] memory levels, uint256 from, uint256 to)
        internal
        pure
        returns (TextOpening memory o)
    {
        (uint256 first, uint256 last) = (from / 256, (to - 1) / 256);
        uint256 end = 256 * (last + 1) < data.length ? 256 * (last + 1) : data.length;
        o.leaves = cut(data, 256 * first, end);
        bytes32[] memory proof = new bytes32[](2 * levels.length);
        uint256 used;
        for (uint256 d = 0; d + 1 < levels.length; (first, last, d) = (first / 2, last / 2, d + 1)) {
            if (first / 2 == last / 2 && first != last) continue;
            proof[used++] = levels[d][first ^ 1];
            if (first != last) proof[used++] = levels[d][last ^ 1];
        }
        assembly ("memory-safe") {
            mstore(proof, used)
        }
        o.proof = proof;
    }

    /// forge-config: default.fuzz.runs = 128
    function testFuzz_windowsAreTheText(uint256 size, uint256 from, uint256 length, uint256 salt) public view {
        size = bound(size, 2, 2_100);
        from = bound(from, 0, size - 2);
        length = bound(length, 2, size - from < 257 ? size - from : 257);
        bytes memory data = textOf(size, salt);
        bytes32[][] memory levels = nodes(data);
        TextOpening memory o = openingOf(data, levels, from, from + length);
        bytes memory span = windows.window(levels[levels.length - 1][0], size, from, from + length, o);
        require(Text.same(span, cut(data, from, from + length)), "another window");
        bytes1 before;
        (before, span) = windows.windowAfter(levels[levels.length - 1][0], size, from + 1, from + length, o);
        require(before == data[from], "another byte before");
        require(Text.same(span, cut(data, from + 1, from + length)), "another span");
    }

    /// Whatever is changed in an opening, cut from it or added to it: it opens no more.
    /// forge-config: default.fuzz.runs = 128
    function testFuzz_nothingElseOpens(uint256 size, uint256 from, uint256 length, uint256 how, uint256 at) public {
        size = bound(size, 600, 2_100);
        from = bound(from, 0, size - 300);
        length = bound(length, 1, 257);
        bytes memory data = textOf(size, how);
        bytes32[][] memory levels = nodes(data);
        TextOpening memory o = openingOf(data, levels, from, from + length);
        how = bound(how, 0, 5);
        if (how == 0) o.leaves[at % o.leaves.length] ^= 0x01;
        if (how == 1) o.proof[at % o.proof.length] ^= bytes32(uint256(1));
        if (how == 2) o.leaves = bytes.concat(o.leaves, hex"00");
        if (how == 3) o.leaves = cut(o.leaves, 0, o.leaves.length - 1);
        if (how == 4) o.proof = resized(o.proof, o.proof.length + 1);
        if (how == 5) o.proof = resized(o.proof, at % o.proof.length);
        vm.expectRevert(Text.BadTextOpening.selector);
        windows.window(levels[levels.length - 1][0], size, from, from + length, o);
    }

    function resized(bytes32[] memory proof, uint256 n) internal pure returns (bytes32[] memory other) {
        other = new bytes32[](n);
        for (uint256 i = 0; i < n && i < proof.length; ++i) other[i] = proof[i];
    }

    function test_aWindowIsInTheTextAndNotTooLong() public {
        bytes memory data = textOf(1_000, 1);
        bytes32[][] memory levels = nodes(data);
        bytes32 root = levels[levels.length - 1][0];
        uint256[2][4] memory bad = [[uint256(5), 5], [uint256(6), 5], [uint256(999), 1_001], [uint256(0), 258]];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectPartialRevert(Text.BadWindow.selector);
            windows.window(root, 1_000, bad[i][0], bad[i][1], TextOpening("", new bytes32[](0)));
        }
    }
}
