// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
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
    Status,
    TotalOpening
} from "./Batches.sol";
import {Demands} from "./Demands.sol";
import {Merkle} from "./Merkle.sol";
import {Openings} from "./Openings.sol";
import {Parameters} from "./Parameters.sol";
import {RewardPool} from "./RewardPool.sol";
import {StakeVault} from "./StakeVault.sol";

/// Attribution batches, one pending at a time: a chain of cumulative roots. A batch that survives its window becomes the
/// pool's root. What is a lie is ruled by the refutation contracts, which alone may call `convict`.
contract AttributionOracle is AccessManaged, Demands {
    uint256 public constant ANSWERS_MAX = 10_000;
    uint256 public constant CLAIMS_MAX = 200_000;
    uint256 public constant BODY_MAX = 1 << 30; // bytes
    // Trees of a demand, beside those of Merkle; of a text: answer << 32 | leaf.
    uint8 public constant ENTRY_TREE = 5;
    uint8 public constant TOTAL_TREE = 6;
    uint8 public constant OUTPUT_TREE = 9;
    uint8 public constant PROMPT_TREE = 10;

    Parameters public immutable PARAMETERS;
    StakeVault public immutable VAULT;
    RewardPool public immutable POOL;

    uint256 public batchCount;
    mapping(uint256 id => Batch) internal _batches;

    event BatchPosted(uint256 indexed id, address indexed poster, Header header, uint64 deadline, uint32 version);
    event BatchSlashed(uint256 indexed id, address indexed challenger, uint8 kind, uint256 bond, uint256 reward);
    event BatchFinalized(uint256 indexed id, bytes32 totalsRoot, uint256 allocated);

    error PendingBatch(uint256 id);
    error Stale(uint256 next, uint32 version);
    error NotPending(uint256 id);
    error WindowOpen(uint64 deadline);
    error WindowClosed(uint64 deadline);
    error DemandsOpen(uint256 count);
    error OutOfBounds();
    error Overallocated(uint256 want, uint256 funded);

    constructor(address authority, Parameters parameters, StakeVault vault, RewardPool pool) AccessManaged(authority) {
        PARAMETERS = parameters;
        VAULT = vault;
        POOL = pool;
    }

    // ------------------------------------------------------------ posting

    /// `expected` and `version` are what the body was composed for: the batch's number and the parameters in force. Else
    /// a transaction that is included late would post a lie that its sender never told.
    function post(uint256 expected, uint32 version, Header calldata header) external returns (uint256 id) {
        id = batchCount;
        if (_batches[id].status == Status.Pending) revert PendingBatch(id);
        uint32 current = PARAMETERS.current();
        if (id + 1 != expected || current != version) revert Stale(id + 1, current);
        if (header.answerCount == 0 || header.answerCount > ANSWERS_MAX || header.claimCount > CLAIMS_MAX) {
            revert OutOfBounds();
        }
        if (header.dataSize == 0 || header.dataSize > BODY_MAX) revert OutOfBounds();
        // The pool's root is 0 before the first batch only; then nobody has anything.
        if (header.totalsRoot == bytes32(0)) revert OutOfBounds();
        uint128 allocated = POOL.allocated();
        uint128 funded = POOL.funded();
        // Else the batch could neither be finalised nor slashed.
        if (uint256(allocated) + header.total > funded) revert Overallocated(uint256(allocated) + header.total, funded);

        batchCount = ++id;
        Batch storage batch = _batches[id];
        batch.header = header;
        (batch.oldRoot, batch.oldTotal) = (POOL.root(), allocated);
        batch.version = version;
        Parameters.Values memory p = PARAMETERS.at(version);
        uint256 bond = (uint256(header.total) * p.bondBps) / BPS;
        batch.bond = uint128(bond > p.bondMin ? bond : p.bondMin);
        batch.poster = msg.sender;
        batch.deadline = uint64(block.timestamp) + p.window;
        batch.status = Status.Pending;
        emit BatchPosted(id, msg.sender, header, batch.deadline, version);
        VAULT.lock(msg.sender, batch.bond);
    }

    /// Anyone may trigger.
    function finalize(uint256 id) external {
        Batch storage batch = _batches[id];
        if (batch.status != Status.Pending) revert NotPending(id);
        if (block.timestamp < batch.deadline) revert WindowOpen(batch.deadline);
        if (openDemands[id] != 0) revert DemandsOpen(openDemands[id]);
        batch.status = Status.Final;
        uint128 allocated = batch.oldTotal + batch.header.total;
        emit BatchFinalized(id, batch.header.totalsRoot, allocated);
        VAULT.unlock(batch.poster, batch.bond);
        POOL.setRoot(batch.header.totalsRoot, allocated);
    }

    /// For the refutation contracts, after they have seen the proof.
    function convict(uint256 id, uint8 kind, address challenger) external restricted {
        _deadlineOf(id);
        _slash(id, kind, challenger);
    }

    // ------------------------------------------------------------ answers to demands; the subject is a batch

    /// A leaf of the answers, the claims or the body.
    function answerDemand(uint256 id, uint8 tree, uint64 index, bytes calldata leaf, bytes32[] calldata proof)
        external
    {
        Header memory h = _batches[id].header;
        bool opened;
        if (tree == Merkle.BODY) {
            opened = Merkle.opensBody(h.dataRoot, h.dataSize, Merkle.BODY, Merkle.BODY_LEAF, leaf, index, proof);
        } else if (tree == Merkle.ANSWER) {
            // Through the ABI decoder: a leaf that no refutation could take as a struct counts as not opened.
            bytes memory payload = abi.encode(abi.decode(leaf, (Answer)));
            opened = payload.length == leaf.length
                && Merkle.opens(h.answersRoot, h.answerCount, Merkle.ANSWER, payload, index, proof);
        } else if (tree == Merkle.CLAIM) {
            bytes memory payload = abi.encode(abi.decode(leaf, (Claim)));
            opened = payload.length == leaf.length
                && Merkle.opens(h.claimsRoot, h.claimCount, Merkle.CLAIM, payload, index, proof);
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
        Answer memory a = Openings.answer(_batches[id].header, answer);
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

    function answerEntryDemand(uint256 id, EntryOpening calldata entry) external {
        Openings.entry(_batches[id].header, entry);
        _answered(id, ENTRY_TREE, entry.index);
    }

    function answerTotalDemand(uint256 id, uint64 contributor, TotalOpening calldata total) external {
        Batch storage batch = _batches[id];
        Openings.total(batch.header.totalsRoot, batch.oldTotal + batch.header.total, contributor, total);
        _answered(id, TOTAL_TREE, contributor);
    }

    // ------------------------------------------------------------ views

    function batchOf(uint256 id) external view returns (Batch memory) {
        return _batches[id];
    }

    /// What a refutation starts from; reverts when it is too late for one.
    function refutable(uint256 id) external view returns (Batch memory, Parameters.Values memory) {
        _deadlineOf(id);
        return (_batches[id], PARAMETERS.at(_batches[id].version));
    }

    // ------------------------------------------------------------ internals

    function _deadlineOf(uint256 id) internal view override returns (uint64 deadline) {
        if (!_isPending(id)) revert NotPending(id);
        deadline = _batches[id].deadline;
        if (block.timestamp >= deadline) revert WindowClosed(deadline);
    }

    function _isPending(uint256 id) internal view override returns (bool) {
        return _batches[id].status == Status.Pending;
    }

    function _hasLeaf(uint256 id, uint8 tree, uint64 index) internal view override returns (bool) {
        Header storage h = _batches[id].header;
        if (tree == Merkle.ANSWER) return index < h.answerCount;
        if (tree == Merkle.CLAIM) return index < h.claimCount;
        if (tree == Merkle.BODY) return index < Merkle.countOf(h.dataSize, Merkle.BODY_LEAF);
        if (tree == ENTRY_TREE) return index >> ENTRY_DEPTH == 0;
        if (tree == TOTAL_TREE) return index >> ID_BITS == 0;
        return (tree == OUTPUT_TREE || tree == PROMPT_TREE) && index >> 32 < h.answerCount;
    }

    function _terms(uint256 id) internal view override returns (uint64, uint128) {
        Parameters.Values memory p = PARAMETERS.at(_batches[id].version);
        return (p.response, p.demandBond);
    }

    function _slash(uint256 id, uint8 kind, address challenger) internal override {
        Batch storage batch = _batches[id];
        batch.status = Status.Slashed;
        uint256 reward = VAULT.slashLocked(batch.poster, batch.bond, challenger);
        emit BatchSlashed(id, challenger, kind, batch.bond, reward);
    }
}
