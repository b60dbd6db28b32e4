// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Answer, Claim, DocumentOpening, Header} from "../src/Batches.sol";
import {AnswerOpening, ClaimOpening} from "../src/Batches.sol";
import {ICorpora} from "../src/interfaces/ICorpora.sol";
import {Merkle} from "../src/Merkle.sol";
import {SpanRefutations} from "../src/SpanRefutations.sol";
import {Takedowns} from "../src/Takedowns.sol";
import {TextOpening} from "../src/Text.sol";
import {Court} from "./Court.t.sol";
import {Packing} from "./Packing.t.sol";

/// Proofs at full size: 10,000 answers, 200,000 claims, a shard of 2^30 bytes, an output of 24 KiB. Only the paths are
/// real; the siblings are drawn. What a proof costs is its transaction less what the conviction books. Of its 3,876 bytes
/// 1,952 are siblings, 617 the claim and the answer, 512 two leaves of text, the rest the framing of the ABI.
contract ScaleTest is Court {
    uint256 constant ANSWERS = 10_000;
    uint256 constant CLAIMS = 200_000;
    uint64 constant SHARD = 1 << 30;
    uint32 constant OUTPUT = 24 * 1024;
    uint256 constant GAS_MAX = 145_000;
    uint256 constant BYTES_MAX = 3_900;
    SpanRefutations spans;
    uint256 narrow; // the batch whose span lies in one leaf of each text
    uint256 wide; // in two of each

    event log_named_uint(string key, uint256 value);

    function setUp() public {
        convene();
        spans = new SpanRefutations(oracle, ICorpora(address(models)), registry, new Takedowns(registry, pool));
        authority.grantRole(4, address(spans), 0);
        vm.deal(POSTER, 1e6 ether);
        vm.startPrank(POSTER);
        vault.stake{value: 9e5 ether}(POSTER);
        registry.create{value: 1 ether}("texts");
        // A shard for each of the two.
        for (uint256 i = 0; i < 2; ++i) {
            (, bytes32 root,) = text(SHARD, position(i == 1), i == 1);
            registry.publish(1, root, bytes32(uint256(1)), SHARD, 1 << 22);
        }
        vm.warp(block.timestamp + 1 days);
        registry.finalize(1, 0);
        registry.finalize(1, 1);
        vm.stopPrank();
        narrow = convicted(false);
        wide = convicted(true);
        vm.warp(block.timestamp + 60);
    }

    // ------------------------------------------------------------ trees of which one path exists

    function sibling(uint256 k) internal pure returns (bytes32) {
        return keccak256(abi.encode("sibling", k));
    }

    function path(bytes32 hash, uint256 index, uint256 depth) internal pure returns (bytes32, bytes32[] memory proof) {
        proof = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            proof[i] = sibling(i);
            hash = index >> i & 1 == 0
                ? keccak256(abi.encodePacked(uint8(1), hash, proof[i]))
                : keccak256(abi.encodePacked(uint8(1), proof[i], hash));
        }
        return (hash, proof);
    }

    function shaNode(bytes32 l, bytes32 r) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(1), l, r));
    }

    /// The bytes of leaf `k` of any text: words, all of them different.
    function leafBytes(uint256 k) internal pure returns (bytes memory leaf) {
        leaf = new bytes(256);
        for (uint256 i = 0; i < 256; ++i) leaf[i] = i % 8 == 7 ? bytes1(" ") : bytes1(uint8(97 + (i * 7 + k) % 26));
    }

    /// An opening of the leaf (or two leaves) from `at` on: contents, root, opening.
    function text(uint256 size, uint256 at, bool two)
        internal
        pure
        returns (bytes memory leaves, bytes32 root, TextOpening memory o)
    {
        uint256 index = at / 256;
        uint256 depth = Merkle.depthOf(size / 256);
        bytes memory a = leafBytes(0);
        bytes32 l = sha256(abi.encodePacked(uint8(0), Merkle.TEXT, a));
        if (!two) {
            o.proof = new bytes32[](depth);
            for (uint256 i = 0; i < depth; ++i) {
                o.proof[i] = sibling(i);
                l = index >> i & 1 == 0 ? shaNode(l, sibling(i)) : shaNode(sibling(i), l);
            }
            o.leaves = a;
            return (a, l, o);
        }
        bytes memory b = leafBytes(1);
        bytes32 r = sha256(abi.encodePacked(uint8(0), Merkle.TEXT, b));
        // `index` is even here: the two are siblings.
        l = shaNode(l, r);
        o.proof = new bytes32[](depth - 1);
        for (uint256 i = 1; i < depth; ++i) {
            o.proof[i - 1] = sibling(i);
            l = index >> i & 1 == 0 ? shaNode(l, sibling(i)) : shaNode(sibling(i), l);
        }
        o.leaves = bytes.concat(a, b);
        return (o.leaves, l, o);
    }

    function position(bool two) internal pure returns (uint256) {
        return 0x2AAAAA * 256 + (two ? 128 : 8); // an even leaf in the third quarter
    }

    function start(bool two) internal pure returns (uint32) {
        return 42 * 256 + (two ? 128 : 8);
    }

    function claimed(bool two) internal pure returns (Claim memory c) {
        (c.answer, c.start, c.length, c.holders) = (uint32(ANSWERS - 1), start(two), two ? 255 : 96, 4);
        (c.ownStart, c.ownEnd, c.leftBy, c.rightBy) = (c.start, c.start + c.length, 150_000, 150_000);
        for (uint32 i = 0; i < 4; ++i) {
            (c.who[i].shard, c.who[i].position) = (two ? 1 : 0, uint64(position(two) + 256 * i));
            (c.who[i].document, c.who[i].contributor, c.who[i].entry) = (3_000_000 + i, 70_000 + i, 20_000 + i);
        }
        (c.covered, c.paid) = (12_000, 123_456_789_012_345_678);
    }

    function answered(bool two) internal view returns (Answer memory a) {
        Lie memory none;
        a = answerOf(FEE, FEE, none);
        a.receipt.outputSize = OUTPUT;
        (, a.receipt.outputRoot,) = text(OUTPUT, start(two), two);
        (a.receipt.sampling, a.receipt.leavesRoot) = (keccak256("sampling"), keccak256("leaves"));
        (a.receipt.promptRoot, a.receipt.promptSize) = (keccak256("prompt"), 900);
        (a.firstClaim, a.claimCount, a.firstInfluence, a.influenceCount) = (149_990, 20, 150_000, 16);
        (a.remainderEntry, a.covered, a.scoreTotal, a.query) = (9_999, 12_000, 1_234_567, keccak256("query"));
    }

    function openings(bool two) internal view returns (ClaimOpening memory c, AnswerOpening memory a, Header memory h) {
        bytes32 leaf = keccak256(abi.encodePacked(uint8(0), Merkle.CLAIM, abi.encode(claimed(two))));
        (c.index, c.claim) = (150_000, Packing.packed(claimed(two)));
        (h.claimsRoot, c.proof) = path(leaf, 150_000, Merkle.depthOf(CLAIMS));
        leaf = keccak256(abi.encodePacked(uint8(0), Merkle.ANSWER, abi.encode(answered(two))));
        (a.index, a.answer) = (uint32(ANSWERS - 1), Packing.packed(answered(two)));
        (h.answersRoot, a.proof) = path(leaf, ANSWERS - 1, Merkle.depthOf(ANSWERS));
    }

    function convicted(bool two) internal returns (uint256) {
        (,, Header memory h) = openings(two);
        h.totalsRoot = keccak256(abi.encode("totals", two));
        (h.answerCount, h.claimCount, h.dataSize) = (uint32(ANSWERS), uint32(CLAIMS), 1 << 28);
        return post(h);
    }

    // ------------------------------------------------------------ what it costs

    function intrinsic(bytes memory data) internal pure returns (uint256 gas_) {
        gas_ = 21_000;
        for (uint256 i = 0; i < data.length; ++i) gas_ += data[i] == 0 ? 4 : 16;
    }

    /// Gas of the transaction, and its bytes; of one that convicts, or that finds nothing and reverts.
    function cost(string memory what, bytes memory data) internal returns (uint256 gas_) {
        spans.ORACLE(); // who is called is warm
        uint256 before = gasleft();
        (bool done,) = address(spans).call(data);
        gas_ = before - gasleft();
        done;
        gas_ += intrinsic(data);
        emit log_named_uint(what, gas_);
        emit log_named_uint("  bytes", data.length);
    }

    function mismatch(bool two, uint256 id) internal view returns (bytes memory) {
        (ClaimOpening memory c, AnswerOpening memory a,) = openings(two);
        (,, TextOpening memory output) = text(OUTPUT, start(two), two);
        (,, TextOpening memory corpus) = text(SHARD, position(two), two);
        return abi.encodeCall(SpanRefutations.refuteMismatch, (id, c, a, 0, output, corpus));
    }

    function longer(bool two, uint256 id) internal view returns (bytes memory) {
        (ClaimOpening memory c, AnswerOpening memory a,) = openings(two);
        DocumentOpening memory none;
        (,, TextOpening memory output) = text(OUTPUT, start(two), two);
        (,, TextOpening memory corpus) = text(SHARD, position(two), two);
        uint64 place = uint64(position(two));
        return abi.encodeCall(
            SpanRefutations.refuteLonger, (id, c, a, two ? 1 : 0, place, none, output, corpus)
        );
    }

    /// An honest claim is opened, compared and let go: all of the proof's work and nothing of a conviction's.
    function test_verifyingASpan() public {
        bytes memory data = mismatch(false, narrow);
        uint256 gas_ = cost("mismatch, verified", data);
        require(gas_ < GAS_MAX && data.length < BYTES_MAX, "too much");
    }

    function test_verifyingASpanOverTwoLeavesOfEach() public {
        bytes memory data = mismatch(true, wide);
        uint256 gas_ = cost("mismatch over two leaves, verified", data);
        require(gas_ < GAS_MAX && data.length < BYTES_MAX + 500, "too much");
    }

    function test_convictingASpanThatGoesOn() public {
        bytes memory data = longer(false, narrow);
        uint256 gas_ = cost("longer, convicted", data);
        require(uint8(statusOf(narrow)) == 3, "convicted");
        require(gas_ < 380_000 && data.length < BYTES_MAX + 300, "too much");
    }

    /// What a conviction books, by itself: the bond of one batch, the return of another.
    function test_convicting() public {
        vm.prank(address(spans));
        uint256 before = gasleft();
        oracle.convict(wide, 1, CHALLENGER);
        emit log_named_uint("conviction of the newest", before - gasleft());
    }
}
