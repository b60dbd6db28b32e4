// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Merkle} from "../src/Merkle.sol";
import {SumMerkle} from "../src/SumMerkle.sol";
import {Text, TextOpening} from "../src/Text.sol";
import {T} from "./Vm.t.sol";

/// The libraries, behind an external interface so that their arguments are calldata.
contract Trees {
    function foldKeccak(bytes32 hash, uint256 index, bytes32[] calldata proof) external pure returns (bytes32) {
        return Merkle.foldKeccak(hash, index, proof);
    }

    function foldSha(bytes32 hash, uint256 index, bytes32[] calldata proof) external view returns (bytes32) {
        return Merkle.foldSha(hash, index, proof);
    }

    function opens(bytes32 root, uint256 count, bytes calldata payload, uint256 index, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return Merkle.opens(root, count, Merkle.CLAIM, payload, index, proof);
    }

    function opensBody(bytes32 root, uint256 size, bytes calldata leaf, uint256 index, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return Merkle.opensBody(root, size, Merkle.TEXT, Merkle.TEXT_LEAF, leaf, index, proof);
    }

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
        returns (bytes1, bytes memory)
    {
        return Text.windowAfter(root, size, from, to, t);
    }

    function opensSum(
        bytes32 root,
        uint128 total,
        uint256 depth,
        uint128 value,
        uint256 index,
        SumMerkle.Sibling[] calldata proof
    ) external pure returns (bool) {
        return SumMerkle.opens(root, total, depth, value, index, proof);
    }
}

contract MerkleTest is T {
    Trees trees = new Trees();

    // ------------------------------------------------------------ plain references

    function foldPlain(bool sha, bytes32 hash, uint256 index, bytes32[] memory proof) internal pure returns (bytes32) {
        for (uint256 i = 0; i < proof.length; ++i) {
            bytes memory node = index & 1 == 0
                ? abi.encodePacked(uint8(1), hash, proof[i])
                : abi.encodePacked(uint8(1), proof[i], hash);
            hash = sha ? sha256(node) : keccak256(node);
            index >>= 1;
        }
        return hash;
    }

    /// Root and proof of leaf `k` of the text tree over `data`, built from the bottom.
    function textTree(bytes memory data, uint256 k) internal pure returns (bytes32, bytes32[] memory proof) {
        uint256 count = Merkle.countOf(data.length, 256);
        uint256 depth = Merkle.depthOf(count);
        bytes32[] memory row = new bytes32[](1 << depth);
        for (uint256 i = 0; i < row.length; ++i) {
            row[i] = i < count
                ? sha256(abi.encodePacked(uint8(0), Merkle.TEXT, slice(data, i * 256, (i + 1) * 256)))
                : sha256(hex"02");
        }
        proof = new bytes32[](depth);
        for (uint256 d = 0; d < depth; ++d) {
            proof[d] = row[k ^ 1];
            k >>= 1;
            for (uint256 i = 0; i < row.length >> (d + 1); ++i) {
                row[i] = sha256(abi.encodePacked(uint8(1), row[2 * i], row[2 * i + 1]));
            }
        }
        return (row[0], proof);
    }

    function slice(bytes memory data, uint256 from, uint256 to) internal pure returns (bytes memory out) {
        if (to > data.length) to = data.length;
        if (from > to) from = to;
        out = new bytes(to - from);
        for (uint256 i = 0; i < out.length; ++i) {
            out[i] = data[from + i];
        }
    }

    function opening(bytes memory data, uint256 from, uint256 to)
        internal
        pure
        returns (bytes32 root, TextOpening memory t)
    {
        uint256 k = from / 256;
        (root, t.proof) = textTree(data, k);
        t.leaves = slice(data, k * 256, (k + 1) * 256);
        if (to > (k + 1) * 256) {
            (, bytes32[] memory right) = textTree(data, k + 1);
            t.leaves = slice(data, k * 256, (k + 2) * 256);
            t.proof = joined(k, t.proof, right);
        }
    }

    /// One proof of leaves `k` and `k + 1`: both siblings where they are none of each other's, then those above both.
    function joined(uint256 k, bytes32[] memory left, bytes32[] memory right)
        internal
        pure
        returns (bytes32[] memory proof)
    {
        uint256 ones = 0;
        while (k >> ones & 1 == 1) ++ones;
        proof = new bytes32[](left.length + ones - 1);
        for (uint256 i = 0; i < ones; ++i) (proof[2 * i], proof[2 * i + 1]) = (left[i], right[i]);
        for (uint256 i = ones + 1; i < left.length; ++i) proof[ones + i - 1] = left[i];
    }

    function text(uint256 seed, uint256 size) internal pure returns (bytes memory data) {
        data = new bytes(size);
        for (uint256 i = 0; i < size; ++i) {
            data[i] = bytes1(uint8(uint256(keccak256(abi.encode(seed, i)))));
        }
    }

    // ------------------------------------------------------------ laws

    function test_depthFollowsFromTheCount() public pure {
        uint256 depth = 0;
        for (uint256 count = 0; count < 1030; ++count) {
            while (1 << depth < count) ++depth;
            eq(Merkle.depthOf(count), depth, "depth");
            for (uint256 d = 0; d < 300; d += d < 12 ? 1 : 41) require(Merkle.isDepth(d, count) == (d == depth), "is");
        }
        require(Merkle.isDepth(40, 1 << 40) && Merkle.isDepth(41, (1 << 40) + 1), "large");
        eq(Merkle.depthOf(1 << 40), 40, "power");
        eq(Merkle.depthOf((1 << 40) + 1), 41, "power and one");
    }

    function testFuzz_foldsLikeThePlainDefinition(bytes32 hash, uint256 index, bytes32[] calldata proof) public view {
        require(trees.foldKeccak(hash, index, proof) == foldPlain(false, hash, index, proof), "keccak");
        require(trees.foldSha(hash, index, proof) == foldPlain(true, hash, index, proof), "sha256");
    }

    function testFuzz_anOpeningBindsEveryPart(uint256 seed, uint256 size, uint256 k, uint256 which) public view {
        size = bound(size, 1, 1500);
        bytes memory data = text(seed, size);
        uint256 count = Merkle.countOf(size, 256);
        k = bound(k, 0, count - 1);
        (bytes32 root, bytes32[] memory proof) = textTree(data, k);
        bytes memory leaf = slice(data, k * 256, (k + 1) * 256);
        require(trees.opensBody(root, size, leaf, k, proof), "honest");

        which = bound(which, 0, 4);
        if (which == 0) leaf[seed % leaf.length] ^= 0x01;
        if (which == 1) leaf = slice(leaf, 0, leaf.length - 1);
        if (which == 2) k += 1;
        if (which == 3) k += 1 << proof.length;
        if (which == 4) {
            if (proof.length == 0) proof = new bytes32[](1);
            else proof[seed % proof.length] ^= bytes32(uint256(1));
        }
        require(!trees.opensBody(root, size, leaf, k, proof), "forged");
    }

    function testFuzz_paddingIsNoLeaf(bytes memory payload, uint256 k) public view {
        // A tree of 3 leaves has padding at 3: whatever its payload were, it is not below the count.
        k = bound(k, 3, 100);
        require(!trees.opens(keccak256(hex"02"), 3, payload, k, new bytes32[](2)), "padding opened");
        require(!trees.opens(keccak256(hex"02"), 0, payload, 0, new bytes32[](0)), "empty tree opened");
    }

    function testFuzz_windowsAreTheBytes(uint256 seed, uint256 size, uint256 from, uint256 length) public view {
        size = bound(size, 1, 1200);
        bytes memory data = text(seed, size);
        from = bound(from, 0, size - 1);
        uint256 to = from + bound(length, 1, size - from < 257 ? size - from : 257);
        (bytes32 root, TextOpening memory t) = opening(data, from, to);
        require(Text.same(trees.window(root, size, from, to, t), slice(data, from, to)), "window");

        if (from == 0) {
            (bytes1 none, bytes memory all) = trees.windowAfter(root, size, 0, to, t);
            require(none == 0 && Text.same(all, slice(data, 0, to)), "at the beginning");
        } else if (to - from > 1) {
            (bytes1 before, bytes memory rest) = trees.windowAfter(root, size, from + 1, to, t);
            require(before == data[from] && Text.same(rest, slice(data, from + 1, to)), "after");
        }
    }

    /// No byte and no hash of an opening of one or two leaves can be another, nor one more or less.
    function testFuzz_aWindowBindsEveryPart(uint256 seed, uint256 size, uint256 from, uint256 which) public view {
        size = bound(size, 600, 2100); // three leaves: a proof is never empty
        bytes memory data = text(seed, size);
        from = bound(from, 0, size - 258);
        uint256 to = from + bound(seed, 1, 257);
        (bytes32 root, TextOpening memory t) = opening(data, from, to);
        which = bound(which, 0, 5);
        if (which == 0) t.leaves[seed % t.leaves.length] ^= 0x01;
        if (which == 1) t.leaves = slice(t.leaves, 0, t.leaves.length - 1);
        if (which == 2) t.leaves = bytes.concat(t.leaves, hex"00");
        if (which == 3) t.proof[seed % t.proof.length] ^= bytes32(uint256(1));
        bytes32[] memory other = new bytes32[](which == 4 ? t.proof.length + 1 : t.proof.length - 1);
        for (uint256 i = 0; i < other.length && i < t.proof.length; ++i) other[i] = t.proof[i];
        if (which > 3) t.proof = other;
        try trees.window(root, size, from, to, t) returns (bytes memory) {
            require(false, "forged");
        } catch {}
    }

    function testFuzz_separatorsAreFoundWhereTheyAre(bytes memory data, uint256 place, bool put) public pure {
        bool found = false;
        if (put && data.length != 0) data[place % data.length] = 0xff;
        for (uint256 i = 0; i < data.length; ++i) {
            found = found || data[i] == 0xff;
        }
        require(Text.hasSeparator(data) == found, "separator");
    }

    function test_wordStartsByClass() public pure {
        for (uint256 b = 0; b < 256; ++b) {
            bytes1 c = bytes1(uint8(b));
            bool word = (b >= 48 && b <= 57) || (b >= 65 && b <= 90) || (b >= 97 && b <= 122) || b == 95;
            bool other = b > 0x20 && b < 0x7f && !word;
            bool lead = b >= 0xc0 && b < 0xf8;
            require(Text.isWord(c) == word, "word");
            require(Text.startsWord(" ", c) == (word || other || lead), "after a space");
            require(Text.startsWord("a", c) == (other || lead), "after a word");
        }
    }

    function testFuzz_sumsAddUpOrFail(uint128 value, uint128 more, uint8 side) public view {
        SumMerkle.Sibling[] memory proof = new SumMerkle.Sibling[](1);
        proof[0] = SumMerkle.Sibling(SumMerkle.totalLeaf(more), more);
        bytes32 leaf = SumMerkle.totalLeaf(value);
        uint256 index = side & 1;
        bytes32 root = index == 0
            ? SumMerkle.node(leaf, proof[0].hash, value, more)
            : SumMerkle.node(proof[0].hash, leaf, more, value);
        if (uint256(value) + more > type(uint128).max) {
            try trees.opensSum(root, 0, 1, value, index, proof) returns (bool) {
                require(false, "an overflow passed");
            } catch {}
            return;
        }
        require(trees.opensSum(root, value + more, 1, value, index, proof), "honest");
        require(!trees.opensSum(root, value + more, 1, value, index ^ 1, proof) || (value == more), "side");
        require(!trees.opensSum(root, value + more, 1, value, index + 2, proof), "index beyond the depth");
        if (value + more != 0) require(!trees.opensSum(root, value + more - 1, 1, value, index, proof), "total");
        if (value != 0) require(!trees.opensSum(root, value + more, 1, value - 1, index, proof), "value");
    }
}
