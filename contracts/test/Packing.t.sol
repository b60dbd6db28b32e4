// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Answer, Claim, Influence} from "../src/Batches.sol";
import {Leaves} from "../src/Leaves.sol";
import {Merkle} from "../src/Merkle.sol";
import {Receipt} from "../src/Receipts.sol";
import {T} from "./Vm.t.sol";

/// Structs as an opening carries them.
library Packing {
    function packed(Receipt memory r) internal pure returns (bytes memory) {
        bytes memory texts = abi.encodePacked(
            r.request, r.base, r.adapter, r.sampling, r.promptRoot, r.promptSize, r.outputRoot, r.outputSize, r.leavesRoot
        );
        bytes memory money = abi.encodePacked(r.promptTokens, r.outputTokens, r.amount, r.cumulative);
        return bytes.concat(
            texts, money, abi.encodePacked(r.seed, r.fingerprint, r.nonce, r.deadline, r.host, r.payer)
        );
    }

    function packed(Answer memory a) internal pure returns (bytes memory) {
        bytes memory lists = abi.encodePacked(a.firstClaim, a.claimCount, a.firstInfluence, a.influenceCount);
        return bytes.concat(
            packed(a.receipt),
            abi.encodePacked(a.r, a.vs),
            lists,
            abi.encodePacked(a.remainderEntry, a.covered, a.scoreTotal, a.query)
        );
    }

    function packed(Claim memory c) internal pure returns (bytes memory all) {
        all = abi.encodePacked(
            c.answer, c.start, c.length, c.ownStart, c.ownEnd, c.leftBy, c.rightBy, c.echo, c.holders
        );
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory who = abi.encodePacked(
                c.who[i].shard, c.who[i].position, c.who[i].document, c.who[i].contributor, c.who[i].entry
            );
            all = bytes.concat(all, who);
        }
        all = bytes.concat(all, abi.encodePacked(c.covered, c.paid));
    }

    function packed(Influence memory i) internal pure returns (bytes memory) {
        return abi.encodePacked(i.answer, i.example, i.contributor, i.entry, i.score, i.scoreSum, i.paid);
    }
}

contract Unpacker {
    function answer(bytes calldata packed) external pure returns (bytes memory words, bytes32 leaf) {
        Answer memory a;
        leaf = Leaves.answer(packed, a);
        words = abi.encode(a);
    }

    function claim(bytes calldata packed) external pure returns (bytes memory words, bytes32 leaf) {
        Claim memory c;
        leaf = Leaves.claim(packed, c);
        words = abi.encode(c);
    }

    function influence(bytes calldata packed) external pure returns (bytes memory words, bytes32 leaf) {
        Influence memory i;
        leaf = Leaves.influence(packed, i);
        words = abi.encode(i);
    }
}

/// What is unpacked is what was packed, field for field, and hashes to its leaf; nothing of another size is taken.
contract PackingTest is T {
    Unpacker unpacker = new Unpacker();

    function same(bytes memory words, bytes memory found, uint8 kind, bytes32 leaf) internal pure {
        require(keccak256(found) == keccak256(words), "fields");
        require(leaf == keccak256(abi.encodePacked(uint8(0), kind, words)), "leaf");
    }

    function testFuzz_answers(Answer memory a) public view {
        (bytes memory words, bytes32 leaf) = unpacker.answer(Packing.packed(a));
        same(abi.encode(a), words, Merkle.ANSWER, leaf);
    }

    function testFuzz_claims(Claim memory c) public view {
        (bytes memory words, bytes32 leaf) = unpacker.claim(Packing.packed(c));
        same(abi.encode(c), words, Merkle.CLAIM, leaf);
    }

    function testFuzz_influences(Influence memory i) public view {
        (bytes memory words, bytes32 leaf) = unpacker.influence(Packing.packed(i));
        same(abi.encode(i), words, Merkle.INFLUENCE, leaf);
    }

    function test_aByteMoreOrLessIsRefused() public {
        uint16[6] memory sizes = [464, 466, 151, 153, 47, 49];
        for (uint256 k = 0; k < 6; ++k) {
            vm.expectPartialRevert(Leaves.BadPacking.selector);
            if (k < 2) unpacker.answer(new bytes(sizes[k]));
            else if (k < 4) unpacker.claim(new bytes(sizes[k]));
            else unpacker.influence(new bytes(sizes[k]));
        }
    }
}
