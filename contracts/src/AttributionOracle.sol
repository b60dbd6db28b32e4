// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {
    Answer,
    AnswerOpening,
    Batch,
    BPS,
    Claim,
    ENTRY_DEPTH,
    EntryOpening,
    Header,
    ID_BITS,
    Influence,
    Status,
    TotalOpening
} from "./Batches.sol";
import {Demands} from "./Demands.sol";
import {Leaves} from "./Leaves.sol";
import {Merkle} from "./Merkle.sol";
import {NodeRegistry} from "./NodeRegistry.sol";
import {Objections} from "./Objections.sol";
import {Openings} from "./Openings.sol";
import {Parameters} from "./Parameters.sol";
import {RewardPool} from "./RewardPool.sol";
import {StakeVault} from "./StakeVault.sol";

/// Attribution batches: a chain of cumulative roots, each posted on the newest that is alive. Those that survive their
/// window become the pool's root, in order; one that dies takes those after it along, without guilt. What is a lie is
/// ruled by the refutation contracts, which alone may call `convict`.
contract AttributionOracle is AccessManaged, Demands, Objections {
    /// A Batch as it is kept: every refutation reads the word in the middle, and of the roots those that it opens.
    struct Kept {
        bytes32 answersRoot;
        bytes32 claimsRoot;
        bytes32 influencesRoot;
        bytes32 entriesRoot;
        bytes32 totalsRoot;
        bytes32 dataRoot;
        uint16 answerCount;
        uint24 claimCount;
        uint24 influenceCount;
        uint32 version;
        uint64 deadline;
        uint64 asOf;
        Status status;
        uint128 total; // from here on another word
        uint32 dataSize;
        uint64 postedAt;
        uint32 parent;
        bytes32 oldRoot;
        uint128 oldTotal;
        uint128 bond;
        address poster;
        uint96 validatorBond;
    }

    uint256 public constant ANSWERS_MAX = 10_000;
    uint256 public constant CLAIMS_MAX = 200_000;
    uint256 public constant INFLUENCES_MAX = 640_000;
    uint256 public constant BODY_MAX = 1 << 30; // bytes
    uint256 public constant COMMITMENT_MAX = 64; // bytes
    uint256 public constant AS_OF_AGE_MAX = 3_600; // seconds between composing and posting
    uint256 public constant PENDING_MAX = 16;
    /// Batches that pend at the plain least bond; each one more doubles it. So who would fill the queue with batches of
    /// next to nothing locks hundreds of bonds, and one whose total is large gets in at no price at all.
    uint256 public constant PENDING_PLAIN = 8;
    // Trees of a demand, beside those of Merkle; of a text or query: answer << 32 | leaf.
    uint8 public constant ENTRY_TREE = 5;
    uint8 public constant TOTAL_TREE = 6;
    uint8 public constant OUTPUT_TREE = 9;
    uint8 public constant PROMPT_TREE = 10;
    uint8 public constant QUERY_TREE = 13;

    Parameters public immutable PARAMETERS;
    StakeVault public immutable VAULT;
    RewardPool public immutable POOL;

    uint64 public batchCount; // numbers are never used again
    uint64 public newest; // pending or final; 0 before the first
    uint64 public newestFinal;
    uint64 public pendingCount; // those between the two; each names the one before it
    mapping(uint256 id => Kept) internal _batches;

    event BatchPosted(uint256 indexed id, address indexed poster, Header header, uint64 deadline, uint32 version);
    event BatchData(uint256 indexed id, bytes commitment);
    event BatchSlashed(uint256 indexed id, address indexed challenger, uint8 kind, uint256 bond, uint256 reward);
    event BatchVoided(uint256 indexed id, uint256 indexed because);
    event BatchFinalized(uint256 indexed id, bytes32 totalsRoot, uint256 allocated);

    error Stale(uint256 next, uint32 version, bytes32 parentRoot);
    error TooManyPending();
    error ParentPending(uint256 parent);
    error NotPending(uint256 id);
    error WindowOpen(uint64 deadline);
    error WindowClosed(uint64 deadline);
    error DemandsOpen(uint256 count);
    error OutOfBounds();
    error Overallocated(uint256 want, uint256 funded);

    constructor(address authority, Parameters parameters, StakeVault vault, RewardPool pool, NodeRegistry nodes)
        AccessManaged(authority)
        Objections(nodes)
    {
        PARAMETERS = parameters;
        VAULT = vault;
        POOL = pool;
    }

    // ------------------------------------------------------------ posting

    /// `expected`, `version`, `parentRoot` and `header.asOf` are what the body was composed for: the batch's number, the
    /// parameters in force, the amounts it adds to and the time. Else a transaction that is included late would post a lie
    /// that its sender never told.
    /// @param dataCommitment where the body lies in data availability, for those who fetch it; empty if only at peers.
    function post(
        uint256 expected,
        uint32 version,
        bytes32 parentRoot,
        Header calldata header,
        bytes calldata dataCommitment
    ) external returns (uint256 id) {
        (bytes32 oldRoot, uint128 oldTotal) = _totals();
        id = uint256(batchCount) + 1;
        uint32 current = PARAMETERS.current();
        if (id != expected || current != version || parentRoot != oldRoot || !_fresh(header.asOf)) {
            revert Stale(id, current, oldRoot);
        }
        if (!_bounded(header) || dataCommitment.length > COMMITMENT_MAX) revert OutOfBounds();
        // Else the batch could neither be finalised nor slashed.
        uint256 allocated = uint256(oldTotal) + header.total;
        uint128 funded = POOL.funded();
        if (allocated > funded) revert Overallocated(allocated, funded);
        Kept storage batch = _append(id, version, header.total);
        _keep(batch, header);
        (batch.oldRoot, batch.oldTotal) = (oldRoot, oldTotal);
        emit BatchPosted(id, msg.sender, header, batch.deadline, current);
        emit BatchData(id, dataCommitment);
        VAULT.lock(msg.sender, batch.bond);
    }

    /// Anyone may trigger.
    function finalize(uint256 id) external {
        Kept storage batch = _batches[id];
        if (batch.status != Status.Pending) revert NotPending(id);
        if (batch.parent != newestFinal) revert ParentPending(batch.parent);
        if (block.timestamp < batch.deadline) revert WindowOpen(batch.deadline);
        if (openDemands[id] != 0) revert DemandsOpen(openDemands[id]);
        batch.status = Status.Final;
        (newestFinal, pendingCount) = (uint64(id), pendingCount - 1);
        uint128 allocated = batch.oldTotal + batch.total;
        emit BatchFinalized(id, batch.totalsRoot, allocated);
        _unlock(id);
        POOL.setRoot(batch.totalsRoot, allocated);
    }

    /// For the refutation contracts, after they have seen the proof.
    function convict(uint256 id, uint8 kind, address challenger) external restricted {
        _deadlineOf(id);
        _slash(id, kind, challenger);
    }

    // ------------------------------------------------------------ answers to demands; the subject is a batch

    /// A leaf of the answers, the claims, the influences or the body.
    function answerDemand(uint256 id, uint8 tree, uint64 index, bytes calldata leaf, bytes32[] calldata proof)
        external
    {
        Header memory h = _headerOf(id);
        bool opened;
        // Structs through the ABI decoder: a leaf that no refutation could read counts as not opened.
        if (tree == Merkle.BODY) {
            opened = Merkle.opensBody(h.dataRoot, h.dataSize, Merkle.BODY, Merkle.BODY_LEAF, leaf, index, proof);
        } else if (tree == Merkle.ANSWER) {
            abi.decode(leaf, (Answer));
            opened = leaf.length == 32 * Leaves.ANSWER_WORDS
                && Merkle.opens(h.answersRoot, h.answerCount, Merkle.ANSWER, leaf, index, proof);
        } else if (tree == Merkle.CLAIM) {
            abi.decode(leaf, (Claim));
            opened = leaf.length == 32 * Leaves.CLAIM_WORDS
                && Merkle.opens(h.claimsRoot, h.claimCount, Merkle.CLAIM, leaf, index, proof);
        } else if (tree == Merkle.INFLUENCE) {
            abi.decode(leaf, (Influence));
            opened = leaf.length == 32 * Leaves.INFLUENCE_WORDS
                && Merkle.opens(h.influencesRoot, h.influenceCount, Merkle.INFLUENCE, leaf, index, proof);
        }
        if (!opened) revert BadDisclosure();
        _answered(id, tree, index);
    }

    /// A leaf of an answer's output or prompt, or the answer alone if its text has no such leaf.
    function answerTextDemand(
        uint256 id,
        uint8 tree,
        uint64 index,
        AnswerOpening calldata answer,
        bytes calldata leaf,
        bytes32[] calldata proof
    ) external {
        if (tree != OUTPUT_TREE && tree != PROMPT_TREE) revert BadDisclosure();
        Answer memory a = Openings.answer(_answersOf(id), answer);
        if (answer.index != index >> 32) revert BadDisclosure();
        (bytes32 root, uint256 size) = tree == OUTPUT_TREE
            ? (a.receipt.outputRoot, a.receipt.outputSize)
            : (a.receipt.promptRoot, a.receipt.promptSize);
        uint256 inside = index & type(uint32).max;
        if (
            inside < Merkle.countOf(size, Merkle.TEXT_LEAF)
                && !Merkle.opensBody(root, size, Merkle.TEXT, Merkle.TEXT_LEAF, leaf, inside, proof)
        ) revert BadDisclosure();
        _answered(id, tree, index);
    }

    /// An answer's feature, or the answer alone if it has none. One of the wrong size is opened all the same: it convicts.
    function answerQueryDemand(uint256 id, AnswerOpening calldata answer, bytes calldata query) external {
        bytes32 hash = Openings.answer(_answersOf(id), answer).query;
        if (hash == bytes32(0) ? query.length != 0 : keccak256(query) != hash) revert BadDisclosure();
        _answered(id, QUERY_TREE, uint64(answer.index) << 32);
    }

    function answerEntryDemand(uint256 id, EntryOpening calldata entry) external {
        Openings.entry(_headerOf(id), entry);
        _answered(id, ENTRY_TREE, entry.index);
    }

    function answerTotalDemand(uint256 id, uint64 contributor, TotalOpening calldata total) external {
        Kept storage batch = _batches[id];
        Openings.total(batch.totalsRoot, batch.oldTotal + batch.total, contributor, total);
        _answered(id, TOTAL_TREE, contributor);
    }

    // ------------------------------------------------------------ views

    function batchOf(uint256 id) external view returns (Batch memory b) {
        Kept storage k = _batches[id];
        b.header = _headerOf(id);
        (b.oldRoot, b.oldTotal, b.bond) = (k.oldRoot, k.oldTotal, k.bond);
        (b.poster, b.validatorBond) = (k.poster, k.validatorBond);
        (b.deadline, b.postedAt, b.version, b.parent, b.status) =
            (k.deadline, k.postedAt, k.version, k.parent, k.status);
    }

    /// What a refutation starts from; reverts when it is too late for one.
    function headerOf(uint256 id) external view returns (Header memory) {
        _deadlineOf(id);
        return _headerOf(id);
    }

    /// Of the header the counts, the time, and the roots of answers and claims: nothing else can be opened by it. Three
    /// words of storage.
    function claimsOf(uint256 id) external view returns (Header memory h) {
        _deadlineOf(id);
        h = _answersOf(id);
        h.claimsRoot = _batches[id].claimsRoot;
    }

    /// The same with the root of the influences.
    function influencesOf(uint256 id) external view returns (Header memory h) {
        _deadlineOf(id);
        h = _answersOf(id);
        h.influencesRoot = _batches[id].influencesRoot;
    }

    /// Root and sum of the amounts that a batch adds to.
    function totalsBefore(uint256 id) external view returns (bytes32, uint128) {
        return (_batches[id].oldRoot, _batches[id].oldTotal);
    }

    /// The parameters that a batch is judged by.
    function rulesOf(uint256 id) external view returns (Parameters.Values memory) {
        return PARAMETERS.at(_batches[id].version);
    }

    /// Of them those that say what a span is: one word of storage instead of all.
    function spanRulesOf(uint256 id) external view returns (uint32 spanMin, uint32 spanMax, uint32 holdersMax) {
        return PARAMETERS.spansAt(_batches[id].version);
    }

    // ------------------------------------------------------------ internals

    /// Root and sum of the amounts that the next batch adds to. Before the first the pool's: nobody has anything.
    function _totals() internal view returns (bytes32, uint128) {
        if (newest == 0) return (POOL.root(), POOL.allocated());
        Kept storage batch = _batches[newest];
        return (batch.totalsRoot, batch.oldTotal + batch.total);
    }

    /// Of a time that is over: what happens in the block of the posting, after it, is later.
    function _fresh(uint256 asOf) internal view returns (bool) {
        return asOf < block.timestamp && block.timestamp <= asOf + AS_OF_AGE_MAX;
    }

    function _bounded(Header calldata h) internal pure returns (bool) {
        return h.answerCount != 0 && h.answerCount <= ANSWERS_MAX && h.claimCount <= CLAIMS_MAX
            && h.influenceCount <= INFLUENCES_MAX && h.dataSize != 0 && h.dataSize <= BODY_MAX
            // The pool's root is 0 before the first batch only; then nobody has anything.
            && h.totalsRoot != bytes32(0);
    }

    /// Puts a batch of that total at the end of the chain: all of it but the header and what it adds to.
    function _append(uint256 id, uint32 version, uint256 total) internal returns (Kept storage batch) {
        uint256 pending = pendingCount;
        if (pending == PENDING_MAX) revert TooManyPending();
        Parameters.Values memory p = PARAMETERS.at(version);
        uint256 least = uint256(p.bondMin) << (pending < PENDING_PLAIN ? 0 : pending - PENDING_PLAIN + 1);
        uint256 bond = (total * p.bondBps) / BPS;
        batch = _batches[id];
        batch.bond = SafeCast.toUint128(bond > least ? bond : least);
        (batch.poster, batch.deadline, batch.version) = (msg.sender, uint64(block.timestamp) + p.window, version);
        batch.validatorBond = SafeCast.toUint96(NODES.bondOf(NODES.VALIDATOR()));
        (batch.postedAt, batch.parent, batch.status) = (uint64(block.timestamp), uint32(newest), Status.Pending);
        (batchCount, newest, pendingCount) = (uint64(id), uint64(id), uint64(pending + 1));
    }

    function _answersOf(uint256 id) internal view returns (Header memory h) {
        Kept storage k = _batches[id];
        h.answersRoot = k.answersRoot;
        (h.answerCount, h.claimCount, h.influenceCount, h.asOf) =
            (k.answerCount, k.claimCount, k.influenceCount, k.asOf);
    }

    function _headerOf(uint256 id) internal view returns (Header memory h) {
        Kept storage k = _batches[id];
        h = _answersOf(id);
        (h.claimsRoot, h.influencesRoot, h.entriesRoot) = (k.claimsRoot, k.influencesRoot, k.entriesRoot);
        (h.totalsRoot, h.dataRoot, h.dataSize, h.total) = (k.totalsRoot, k.dataRoot, k.dataSize, k.total);
    }

    /// The bounds of `post` are far below those of the types.
    function _keep(Kept storage k, Header calldata h) internal {
        (k.answersRoot, k.claimsRoot, k.influencesRoot) = (h.answersRoot, h.claimsRoot, h.influencesRoot);
        (k.entriesRoot, k.totalsRoot, k.dataRoot) = (h.entriesRoot, h.totalsRoot, h.dataRoot);
        (k.answerCount, k.claimCount, k.influenceCount, k.asOf) =
            (uint16(h.answerCount), uint24(h.claimCount), uint24(h.influenceCount), h.asOf);
        (k.total, k.dataSize) = (h.total, uint32(h.dataSize));
    }

    function _deadlineOf(uint256 id) internal view override returns (uint64 deadline) {
        if (!_isPending(id)) revert NotPending(id);
        deadline = _batches[id].deadline;
        if (block.timestamp >= deadline) revert WindowClosed(deadline);
    }

    function _isPending(uint256 id) internal view override returns (bool) {
        return _batches[id].status == Status.Pending;
    }

    function _hasLeaf(uint256 id, uint8 tree, uint64 index) internal view override returns (bool) {
        Kept storage h = _batches[id];
        if (tree == Merkle.ANSWER) return index < h.answerCount;
        if (tree == Merkle.CLAIM) return index < h.claimCount;
        if (tree == Merkle.INFLUENCE) return index < h.influenceCount;
        if (tree == Merkle.BODY) return index < Merkle.countOf(h.dataSize, Merkle.BODY_LEAF);
        if (tree == ENTRY_TREE) return index >> ENTRY_DEPTH == 0;
        if (tree == TOTAL_TREE) return index >> ID_BITS == 0;
        if (tree == QUERY_TREE && uint32(index) != 0) return false;
        return (tree == OUTPUT_TREE || tree == PROMPT_TREE || tree == QUERY_TREE) && index >> 32 < h.answerCount;
    }

    function _terms(uint256 id) internal view override returns (uint64, uint128) {
        Parameters.Values memory p = PARAMETERS.at(_batches[id].version);
        return (p.response, p.demandBond);
    }

    function _jury(uint256 id) internal view override returns (uint64, uint128) {
        _deadlineOf(id);
        return (_batches[id].postedAt, _batches[id].validatorBond);
    }

    function _unbonding(uint256 id) internal view override returns (uint64) {
        return PARAMETERS.at(_batches[id].version).unbonding;
    }

    function _slash(uint256 id, uint8 kind, address challenger) internal override {
        Kept storage batch = _batches[id];
        _end(id, Status.Slashed);
        uint256 reward = VAULT.slashLocked(batch.poster, batch.bond, challenger);
        emit BatchSlashed(id, challenger, kind, batch.bond, reward);
    }

    function _void(uint256 id) internal override {
        _end(id, Status.Voided);
        emit BatchVoided(id, id);
    }

    function _unlock(uint256 id) internal override {
        VAULT.unlock(_batches[id].poster, _batches[id].bond);
    }

    /// Ends a pending batch and voids those after it, newest first: at most PENDING_MAX - 1, as each names its parent.
    function _end(uint256 id, Status status) internal {
        uint64 count = pendingCount;
        uint64 last = newest;
        for (; last != id; --count) {
            Kept storage later = _batches[last];
            later.status = Status.Voided;
            emit BatchVoided(last, id);
            _unlock(last);
            last = later.parent;
        }
        Kept storage batch = _batches[id];
        batch.status = status;
        (newest, pendingCount) = (batch.parent, count - 1);
    }
}
