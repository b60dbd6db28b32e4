// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// Positional Merkle trees whose depth follows from the number of leaves. Twin of `protocol/merkle.py`.
///   leaf = H(00 | kind | payload)    node = H(01 | left | right)    padding leaf = H(02)
/// Bit i of an index says whether the node at height i is a right child. OpenZeppelin's sorted pairs cannot prove a
/// position, hence this file.
library Merkle {
    uint8 internal constant TEXT = 1; // sha256
    uint8 internal constant DOCUMENT = 2; // sha256
    uint8 internal constant ANSWER = 3; // keccak
    uint8 internal constant CLAIM = 4; // keccak
    uint8 internal constant BODY = 7; // sha256
    uint8 internal constant FEATURE = 11; // sha256
    uint8 internal constant INFLUENCE = 12; // keccak

    uint256 internal constant TEXT_LEAF = 256; // bytes
    uint256 internal constant DOCUMENT_LEAF = 157;
    uint256 internal constant BODY_LEAF = 1024;
    uint256 internal constant FEATURE_LEAF = 2096;

    function depthOf(uint256 count) internal pure returns (uint256) {
        return count < 2 ? 0 : Math.log2(count - 1) + 1;
    }

    /// Whether `depth` is that of a tree of `count` leaves, for less gas than to compute it.
    function isDepth(uint256 depth, uint256 count) internal pure returns (bool) {
        unchecked {
            return count < 2 ? depth == 0 : depth != 0 && (count - 1) >> (depth - 1) == 1;
        }
    }

    /// The number of leaves of a byte tree. Sizes are below 2^64.
    function countOf(uint256 size, uint256 leafSize) internal pure returns (uint256) {
        unchecked {
            return (size + leafSize - 1) / leafSize;
        }
    }

    /// Whether `payload` is leaf `index` of a keccak tree of `count` leaves.
    function opens(
        bytes32 root,
        uint256 count,
        uint8 kind,
        bytes calldata payload,
        uint256 index,
        bytes32[] calldata proof
    ) internal pure returns (bool) {
        return opensLeaf(root, count, keccak256(abi.encodePacked(uint8(0), kind, payload)), index, proof);
    }

    /// The same of the leaf's hash.
    function opensLeaf(bytes32 root, uint256 count, bytes32 leaf, uint256 index, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (index >= count || !isDepth(proof.length, count)) return false;
        return foldKeccak(leaf, index, proof) == root;
    }

    /// Whether `payload` is leaf `index` of the sha256 tree over a body of `size` bytes cut every `leafSize`.
    function opensBody(
        bytes32 root,
        uint256 size,
        uint8 kind,
        uint256 leafSize,
        bytes calldata payload,
        uint256 index,
        bytes32[] calldata proof
    ) internal view returns (bool) {
        uint256 count = countOf(size, leafSize);
        if (index >= count || !isDepth(proof.length, count)) return false;
        uint256 rest = size - index * leafSize;
        if (payload.length != (rest < leafSize ? rest : leafSize)) return false;
        bytes32 hash;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, shl(240, kind)) // 00 | kind
            calldatacopy(add(m, 2), payload.offset, payload.length)
            if iszero(staticcall(gas(), 2, m, add(payload.length, 2), 0, 32)) { revert(0, 0) }
            hash := mload(0)
        }
        return foldSha(hash, index, proof) == root;
    }

    // Both folds lay 01 | left | right over the words at 0x40 and 0x60, which are put back: with fixed places a level costs
    // a third less.

    function foldKeccak(bytes32 hash, uint256 index, bytes32[] calldata proof) internal pure returns (bytes32) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(0x3f, 1)
            let end := add(proof.offset, shl(5, proof.length))
            for { let p := proof.offset } lt(p, end) { p := add(p, 32) } {
                let right := shl(5, and(index, 1))
                mstore(xor(0x40, right), hash)
                mstore(xor(0x60, right), calldataload(p))
                hash := keccak256(0x3f, 65)
                index := shr(1, index)
            }
            mstore(0x40, free)
            mstore(0x60, 0)
        }
        return hash;
    }

    function foldSha(bytes32 hash, uint256 index, bytes32[] calldata proof) internal view returns (bytes32) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(0x3f, 1)
            let end := add(proof.offset, shl(5, proof.length))
            for { let p := proof.offset } lt(p, end) { p := add(p, 32) } {
                let right := shl(5, and(index, 1))
                mstore(xor(0x40, right), hash)
                mstore(xor(0x60, right), calldataload(p))
                // The precompile at 2 fails only without gas, and 1/64 of it is not enough to go on.
                if iszero(staticcall(gas(), 2, 0x3f, 65, 0, 32)) { revert(0, 0) }
                hash := mload(0)
                index := shr(1, index)
            }
            mstore(0x40, free)
            mstore(0x60, 0)
        }
        return hash;
    }
}
