// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AttributionOracle} from "../src/AttributionOracle.sol";
import {
    Answer,
    AnswerOpening,
    Batch,
    Claim,
    ClaimOpening,
    Entry,
    ENTRY_DEPTH,
    EntryOpening,
    Header,
    InfluenceOpening,
    NONE,
    Status,
    SubtotalOpening,
    TotalOpening
} from "../src/Batches.sol";
import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {InferenceEscrow} from "../src/InferenceEscrow.sol";
import {IReceipts} from "../src/interfaces/IReceipts.sol";
import {Merkle} from "../src/Merkle.sol";
import {Receipt} from "../src/Receipts.sol";
import {RewardPool} from "../src/RewardPool.sol";
import {StakeVault} from "../src/StakeVault.sol";
import {SumMerkle} from "../src/SumMerkle.sol";
import {SumRefutations} from "../src/SumRefutations.sol";
import {Deploy, TenFinalShards} from "./Deploy.t.sol";
import {Packing} from "./Packing.t.sol";

/// The oracle and its refutations deployed, and batches of one answer without claims: all of the contributors' share is
/// the treasury's remainder. (Batches with spans are drawn by the Python tests.)
abstract contract Court is Deploy {
    uint256 constant HOST_KEY = 0xB0B;
    uint256 constant PAYER_KEY = 0xA11CE;
    address constant POSTER = address(0xAAA1);
    address constant CHALLENGER = address(0xBBB2);
    uint128 constant FEE = 100 ether; // of the one answer
    AttributionOracle oracle;
    SumRefutations sums;
    DatanetRegistry registry;
    address host;
    address payer;

    function convene() internal {
        deploy(new TenFinalShards());
        registry = new DatanetRegistry(parameters, vault, pool);
        oracle = new AttributionOracle(address(authority), parameters, vault, pool, nodes);
        sums = new SumRefutations(oracle, IReceipts(address(escrow)));
        authority.grantRole(MODULE, address(oracle), 0);
        authority.grantRole(MODULE, address(registry), 0);
        authority.grantRole(3, address(oracle), 0);
        bytes4[] memory convict = new bytes4[](1);
        convict[0] = AttributionOracle.convict.selector;
        authority.setTargetFunctionRole(address(oracle), convict, 4);
        authority.grantRole(4, address(sums), 0);

        vm.deal(POSTER, 100_000 ether);
        vm.prank(POSTER);
        vault.stake{value: 100_000 ether}(POSTER);
        (host, payer) = (vm.addr(HOST_KEY), vm.addr(PAYER_KEY));
        registerAdapter(ADAPTER, "adapter", 5_000);
        vm.deal(payer, 10_000 ether);
        vm.prank(payer);
        escrow.deposit{value: 10_000 ether}(host);
        escrow.redeem(one(voucher(PAYER_KEY, payer, host, ADAPTER, 10_000 ether)));
    }

    // ------------------------------------------------------------ a batch of one answer

    struct Lie {
        uint128 remainder; // added to the entry's value
        uint128 stolen; // booked for contributor 1 instead of the treasury
        uint32 claimCount;
        uint32 remainderEntry;
        uint256 key; // of who signs the receipt, 0 for the host
    }

    function answerOf(uint128 amount, uint128 cumulative, Lie memory lie) internal view returns (Answer memory a) {
        a.receipt = receipt(payer, host, amount, cumulative, bytes32("request"));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(lie.key == 0 ? HOST_KEY : lie.key, escrow.receiptDigest(a.receipt));
        (a.r, a.vs) = (r, v == 28 ? s | bytes32(uint256(1) << 255) : s);
        (a.claimCount, a.remainderEntry) = (lie.claimCount, lie.remainderEntry);
    }

    function share(uint128 amount) internal pure returns (uint128) {
        return uint128(uint256(amount) * 5_000 / 10_000);
    }

    /// The header over `before` (cumulative amounts of the ids 0..7).
    function headerOf(Answer memory a, uint128[8] memory before, Lie memory lie)
        internal
        pure
        returns (Header memory h)
    {
        uint128 value = share(a.receipt.amount) + lie.remainder;
        h.answersRoot = keccak256(abi.encodePacked(uint8(0), Merkle.ANSWER, abi.encode(a)));
        (h.claimsRoot, h.influencesRoot) = (keccak256(hex"02"), keccak256(hex"02"));
        (h.entriesRoot, h.total) = entries(value);
        uint128[8] memory next = afterwards(before, value, lie.stolen);
        (h.totalsRoot,) = rootOf(next);
        h.dataRoot = sha256(abi.encodePacked(uint8(0), Merkle.BODY, bytes("body")));
        h.dataSize = 4;
        h.answerCount = 1;
        h.claimCount = lie.claimCount;
    }

    function afterwards(uint128[8] memory before, uint128 value, uint128 stolen)
        internal
        pure
        returns (uint128[8] memory next)
    {
        for (uint256 i = 0; i < 8; ++i) next[i] = before[i];
        next[0] += value - stolen;
        next[1] += stolen;
    }

    function emptyAt(uint256 height) internal pure returns (bytes32 hash) {
        hash = SumMerkle.ABSENT;
        for (uint256 i = 0; i < height; ++i) hash = SumMerkle.node(hash, hash, 0, 0);
    }

    /// The entry tree with the one remainder at (treasury, 0), or empty for a value of 0.
    function entries(uint128 value) internal pure returns (bytes32 hash, uint128) {
        return entriesOf(Entry(0, NONE, 0, value));
    }

    function leafOf(Entry memory e) internal pure returns (bytes32) {
        return e.value == 0 ? SumMerkle.ABSENT : SumMerkle.entryLeaf(e.answer, e.claim, e.slot, e.value);
    }

    /// The entry tree with that one at (treasury, 0).
    function entriesOf(Entry memory e) internal pure returns (bytes32 hash, uint128) {
        hash = leafOf(e);
        bytes32 empty = SumMerkle.ABSENT;
        for (uint256 i = 0; i < ENTRY_DEPTH; ++i) {
            hash = SumMerkle.node(hash, empty, e.value, 0);
            empty = SumMerkle.node(empty, empty, 0, 0);
        }
        return (hash, e.value);
    }

    function entryOpening(uint128 value, uint64 index) internal pure returns (EntryOpening memory o) {
        o.index = index;
        o.present = index == 0 && value != 0;
        if (o.present) o.entry = Entry(0, NONE, 0, value);
        o.proof = new SumMerkle.Sibling[](ENTRY_DEPTH);
        for (uint256 i = 0; i < ENTRY_DEPTH; ++i) {
            // Only index 0 and index 1 are ever opened.
            o.proof[i] = SumMerkle.Sibling(emptyAt(i), 0);
        }
        if (index == 1) {
            o.proof[0] = SumMerkle.Sibling(
                value == 0 ? SumMerkle.ABSENT : SumMerkle.entryLeaf(0, NONE, 0, value), value
            );
        }
    }

    function subtotalOf(uint128 value) internal pure returns (SubtotalOpening memory o) {
        EntryOpening memory e = entryOpening(value, 0);
        bytes32 hash = value == 0 ? SumMerkle.ABSENT : SumMerkle.entryLeaf(0, NONE, 0, value);
        for (uint256 i = 0; i < 19; ++i) hash = SumMerkle.node(hash, e.proof[i].hash, value, 0);
        (o.left, o.right) = (SumMerkle.Sibling(hash, value), e.proof[19]);
        o.proof = new SumMerkle.Sibling[](24);
        for (uint256 i = 0; i < 24; ++i) o.proof[i] = e.proof[20 + i];
    }

    function totalOf(uint128[8] memory v, uint32 id) internal pure returns (TotalOpening memory o) {
        (,, SumMerkle.Sibling[] memory proof) = walk(v, id);
        return TotalOpening(v[id], proof);
    }

    function opened(Answer memory a) internal pure returns (AnswerOpening memory) {
        return AnswerOpening(0, Packing.packed(a), new bytes32[](0));
    }

    function noClaim() internal pure returns (ClaimOpening memory o) {
        o.index = NONE;
    }

    function noInfluence() internal pure returns (InfluenceOpening memory o) {
        o.index = NONE;
    }

    function noAnswer() internal pure returns (AnswerOpening memory o) {
        o.index = NONE;
    }

    /// Posts it as what it is: composed now for the next number, on the newest batch.
    function post(Header memory h) internal returns (uint256) {
        (uint256 next, uint32 version) = (uint256(oracle.batchCount()) + 1, parameters.current());
        h.asOf = uint64(block.timestamp - 1);
        bytes32 parent = newestRoot();
        vm.prank(POSTER);
        return oracle.post(next, version, parent, h, "");
    }

    function newestRoot() internal view returns (bytes32) {
        return oracle.newest() == 0 ? bytes32(0) : oracle.batchOf(oracle.newest()).header.totalsRoot;
    }

    function statusOf(uint256 id) internal view returns (Status) {
        return oracle.batchOf(id).status;
    }
}
