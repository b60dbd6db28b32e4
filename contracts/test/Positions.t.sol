// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Merkle} from "../src/Merkle.sol";
import {Trees} from "./Merkle.t.sol";
import {T} from "./Vm.t.sol";

/// A leaf of answers or claims opens at its own place and at no other, not even one that has the same lower bits.
contract PositionsTest is T {
    Trees trees = new Trees();

    function leaf(uint256 k) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), Merkle.CLAIM, abi.encode(k)));
    }

    function node(bytes32 l, bytes32 r) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), l, r));
    }

    function testFuzz_oneLeafOnePlace(uint256 k, uint256 other) public view {
        k = bound(k, 0, 2);
        bytes32 padding = keccak256(hex"02");
        bytes32[4] memory row = [leaf(0), leaf(1), leaf(2), padding];
        bytes32[2] memory above = [node(row[0], row[1]), node(row[2], row[3])];
        bytes32 root = node(above[0], above[1]);
        bytes32[] memory proof = new bytes32[](2);
        (proof[0], proof[1]) = (row[k ^ 1], above[(k >> 1) ^ 1]);
        require(trees.opens(root, 3, abi.encode(k), k, proof), "its place");

        require(!trees.opens(root, 3, abi.encode(k), k + 4, proof), "the next one with its lower bits");
        other = bound(other, 0, type(uint256).max / 4 - 1) * 4 + k;
        require(trees.opens(root, 3, abi.encode(k), other, proof) == (other == k), "another place");
    }
}
