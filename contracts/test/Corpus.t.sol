// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DocumentOpening, FeatureOpening, NONE} from "../src/Batches.sol";
import {FeatureRegistry} from "../src/FeatureRegistry.sol";
import {Merkle} from "../src/Merkle.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {Takedowns} from "../src/Takedowns.sol";
import {Court} from "./Court.t.sol";

interface Roll {
    function roll(uint256) external;
}

/// An adapter with a corpus of two final shards, of two documents and one, and a feature set over the three.
abstract contract Corpus is Court {
    bytes32 constant MODEL = keccak256("featured adapter");
    address constant CURATOR = address(0xC0DE);
    address constant PUBLISHER = address(0xFEA7);
    uint256 constant K = 2048;
    FeatureRegistry features;
    Takedowns takedowns;
    bytes[][2] tables; // rows of the shards' document tables
    bytes[] rows; // of the feature set
    address[4] authors; // by contributor id, from 1

    function gather() internal {
        convene();
        for (uint32 i = 1; i < 4; ++i) {
            authors[i] = address(uint160(0xA000 + i));
            require(pool.register(authors[i]) == i, "ids count from 1");
        }
        vm.deal(CURATOR, 10_000 ether);
        vm.startPrank(CURATOR);
        vault.stake{value: 5_000 ether}(CURATOR);
        registry.create{value: 1 ether}("letters");
        vm.stopPrank();
        tables[0].push(document(1, 10, 1));
        tables[0].push(document(12, 5, 2));
        tables[1].push(document(1, 8, 3));
        publishShard(shaRoot(Merkle.DOCUMENT, tables[0]), 17, 2);
        publishShard(shaRoot(Merkle.DOCUMENT, tables[1]), 9, 1);
        vm.warp(block.timestamp + 1 days);
        registry.finalize(1, 0);
        registry.finalize(1, 1);

        ModelRegistry.AdapterInfo memory model = info(MODEL, "featured", 5_000);
        model.shardCount = 2;
        vm.deal(OWNER, 1 ether);
        vm.prank(OWNER);
        models.registerAdapter{value: 1 ether}(model);
        features = new FeatureRegistry(parameters, vault, nodes, models, registry);
        takedowns = new Takedowns(registry, pool);
        authority.grantRole(MODULE, address(features), 0);
        vm.deal(PUBLISHER, 10_000 ether);
        vm.prank(PUBLISHER);
        vault.stake{value: 5_000 ether}(PUBLISHER);
        rows.push(row(0, 0, 1, NONE, phi(0)));
        rows.push(row(0, 1, 2, NONE, phi(1)));
        rows.push(row(1, 0, 3, 1, flipped(phi(1), edge())));
    }

    function publishShard(bytes32 table, uint64 size, uint32 count) internal {
        vm.prank(CURATOR);
        registry.publish(1, bytes32("text"), table, size, count);
    }

    function seed() internal {
        features.draw(MODEL);
        Roll(address(vm)).roll(block.number + 2);
        features.draw(MODEL);
    }

    function publishSet() internal returns (uint256) {
        (bytes32 root, bytes32 basis) = (shaRoot(Merkle.FEATURE, rows), sha256(hex"0007aa"));
        vm.prank(PUBLISHER); // not before: a precompile is a call too
        return features.publish(MODEL, root, uint32(rows.length), basis, 1);
    }

    // ------------------------------------------------------------ rows

    function content(uint32 contributor) internal pure returns (bytes32) {
        return keccak256(abi.encode("content of", contributor));
    }

    function document(uint64 start, uint64 length, uint32 contributor) internal pure returns (bytes memory) {
        return abi.encodePacked(
            start, length, contributor, uint64(0), content(contributor), bytes32("terms"), bytes32(0), bytes32(0), uint8(27)
        );
    }

    function row(uint32 shard, uint32 number, uint32 contributor, uint32 duplicateOf, bytes memory feature)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(shard, number, contributor, duplicateOf, content(contributor), feature);
    }

    /// A well-formed feature: 32 or -32 everywhere, of which every two numbers give unlike ones.
    function phi(uint256 number) internal pure returns (bytes memory v) {
        v = new bytes(K);
        uint256 bits;
        for (uint256 i = 0; i < K; ++i) {
            if (i & 255 == 0) bits = uint256(keccak256(abi.encode(number, i)));
            v[i] = bits >> (i & 255) & 1 == 0 ? bytes1(0x20) : bytes1(0xe0);
        }
    }

    /// As many signs may differ between two features of one length that are near.
    function edge() internal view returns (uint256) {
        return K / 2 * (10_000 - parameters.inForce().duplicateBps) / 10_000;
    }

    /// The same with the first `n` signs turned: each costs the product of the two 2048.
    function flipped(bytes memory v, uint256 n) internal pure returns (bytes memory w) {
        w = bytes.concat(v);
        for (uint256 i = 0; i < n; ++i) w[i] = v[i] == 0x20 ? bytes1(0xe0) : bytes1(0x20);
    }

    // ------------------------------------------------------------ trees

    function hashOf(bool sha, bytes memory data) internal pure returns (bytes32) {
        return sha ? sha256(data) : keccak256(data);
    }

    /// Root, and the siblings of leaf `at`.
    function tree(bool sha, uint8 kind, bytes[] memory leaves, uint256 at)
        internal
        pure
        returns (bytes32, bytes32[] memory proof)
    {
        uint256 depth = Merkle.depthOf(leaves.length);
        bytes32[] memory level = new bytes32[](1 << depth);
        for (uint256 i = 0; i < level.length; ++i) {
            level[i] = hashOf(sha, i < leaves.length ? abi.encodePacked(uint8(0), kind, leaves[i]) : bytes(hex"02"));
        }
        proof = new bytes32[](depth);
        for (uint256 d = 0; d < depth; ++d) {
            proof[d] = level[at ^ 1];
            for (uint256 i = 0; i < 1 << (depth - d - 1); ++i) {
                level[i] = hashOf(sha, abi.encodePacked(uint8(1), level[2 * i], level[2 * i + 1]));
            }
            at >>= 1;
        }
        return (level[0], proof);
    }

    function shaRoot(uint8 kind, bytes[] memory leaves) internal pure returns (bytes32 root) {
        (root,) = tree(true, kind, leaves, 0);
    }

    function openedRow(uint256 index) internal view returns (FeatureOpening memory o) {
        if (index == NONE) return FeatureOpening(NONE, "", new bytes32[](0));
        (, bytes32[] memory proof) = tree(true, Merkle.FEATURE, rows, index);
        return FeatureOpening(uint32(index), rows[index], proof);
    }

    function openedDocument(uint256 shard, uint256 index) internal view returns (DocumentOpening memory) {
        (, bytes32[] memory proof) = tree(true, Merkle.DOCUMENT, tables[shard], index);
        return DocumentOpening(uint32(index), tables[shard][index], proof);
    }
}
