// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// Merkle-sum trees: a node hashes both children with their sums, so all leaves that can ever be opened add up to at
/// most the announced total, even under the root of a liar. Twin of `protocol/sumtree.py`.
library SumMerkle {
    struct Sibling {
        bytes32 hash;
        uint128 sum;
    }

    uint8 internal constant ENTRY = 5;
    uint8 internal constant TOTAL = 6;
    bytes32 internal constant ABSENT = keccak256(hex"02"); // an entry that does not exist; its sum is 0

    /// A contributor's cumulative amount; who has none has 0.
    function totalLeaf(uint128 value) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), TOTAL, value));
    }

    function entryLeaf(uint32 answer, uint32 claim, uint8 slot, uint128 value) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), ENTRY, answer, claim, slot, value));
    }

    function node(bytes32 left, bytes32 right, uint128 leftSum, uint128 rightSum) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), left, right, leftSum, rightSum));
    }

    /// Folds number `index` of a row up to the root. Reverts when a sum leaves 128 bits.
    function fold(bytes32 hash, uint128 sum, uint256 index, Sibling[] calldata proof)
        internal
        pure
        returns (bytes32, uint128)
    {
        for (uint256 i = 0; i < proof.length; ++i) {
            (bytes32 other, uint128 otherSum) = (proof[i].hash, proof[i].sum);
            hash = index & 1 == 0 ? node(hash, other, sum, otherSum) : node(other, hash, otherSum, sum);
            sum += otherSum;
            index >>= 1;
        }
        return (hash, sum);
    }

    /// The sum that a root's tree has along the path of node number `index` of the row `depth` below it: what an honest
    /// root announces. `opened` is false for a node that is not there.
    function sumAlong(bytes32 root, uint256 depth, bytes32 hash, uint128 sum, uint256 index, Sibling[] calldata proof)
        internal
        pure
        returns (bool opened, uint128 all)
    {
        if (proof.length != depth || index >> depth != 0) return (false, 0);
        bytes32 top;
        (top, all) = fold(hash, sum, index, proof);
        opened = top == root;
    }

    /// Whether a node is number `index` of the row `depth` below the root.
    function opensNode(
        bytes32 root,
        uint128 total,
        uint256 depth,
        bytes32 hash,
        uint128 sum,
        uint256 index,
        Sibling[] calldata proof
    ) internal pure returns (bool) {
        (bool opened, uint128 all) = sumAlong(root, depth, hash, sum, index, proof);
        return opened && all == total;
    }

    /// Whether contributor `index` has `value` in a TOTAL tree.
    function opens(
        bytes32 root,
        uint128 total,
        uint256 depth,
        uint128 value,
        uint256 index,
        Sibling[] calldata proof
    ) internal pure returns (bool) {
        return opensNode(root, total, depth, totalLeaf(value), value, index, proof);
    }
}
