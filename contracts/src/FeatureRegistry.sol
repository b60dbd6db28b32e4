// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DocumentOpening, FeatureOpening, Kind, NONE, Status} from "./Batches.sol";
import {DatanetRegistry} from "./DatanetRegistry.sol";
import {Demands} from "./Demands.sol";
import {Document, Documents} from "./Documents.sol";
import {FeatureRow, FeatureRows} from "./FeatureRows.sol";
import {Features} from "./Features.sol";
import {Merkle} from "./Merkle.sol";
import {ModelRegistry} from "./ModelRegistry.sol";
import {NodeRegistry} from "./NodeRegistry.sol";
import {Objections} from "./Objections.sol";
import {Parameters} from "./Parameters.sol";
import {StakeVault} from "./StakeVault.sol";

/// The features of an adapter's examples, one row for each document of its corpus. What a row says can be refuted by one
/// transaction; whether its feature is the example's is for the validators, who compute it anew, to object. A few sets of an
/// adapter may pend at once, so that junk keeps nobody out; the first that survives its window is in force, for ever and
/// alone. Twin of `protocol/refute_features.py`.
contract FeatureRegistry is Demands, Objections {
    struct FeatureSet {
        bytes32 adapter;
        bytes32 featuresRoot; // FEATURE tree of the rows
        bytes32 basisRoot; // BODY tree of the file that whitens gradients
        bytes32 seed; // of the projection
        address poster;
        uint32 exampleCount;
        uint64 basisSize; // bytes
        uint64 publishedAt;
        uint64 deadline;
        uint64 finalizedAt; // 0 while it is not in force
        uint32 version; // of the parameters
        uint128 bond;
        uint128 validatorBond; // wei behind all validators when it was published
        Status status;
    }

    uint256 public constant EXAMPLES_MAX = 1 << 24;
    uint256 public constant BASIS_MAX = 1 << 30; // bytes
    uint256 public constant PENDING_MAX = 4; // sets of one adapter; each needs twice the bond of the one before
    uint256 public constant BLOCKHASHES = 256; // how far back the chain remembers
    // Kinds of a conviction, beside Kind.WITHHELD.
    uint8 public constant ROW = 1;
    uint8 public constant ORDER = 2;
    uint8 public constant DUPLICATE = 3;

    Parameters public immutable PARAMETERS;
    StakeVault public immutable VAULT;
    ModelRegistry public immutable MODELS;
    DatanetRegistry public immutable DATANETS;

    uint256 public setCount;
    mapping(uint256 id => FeatureSet) internal _sets;
    mapping(bytes32 adapter => uint256) public idOf; // the set in force; 0 for none
    mapping(bytes32 adapter => uint256[]) internal _pending;
    mapping(bytes32 adapter => bytes32) public seedOf; // 0 until it is drawn
    mapping(bytes32 adapter => uint256) public targetOf; // the block whose hash will be the seed

    event SeedRequested(bytes32 indexed adapter, uint256 target);
    event SeedDrawn(bytes32 indexed adapter, bytes32 seed);
    event FeaturesPublished(
        uint256 indexed id,
        bytes32 indexed adapter,
        address indexed poster,
        bytes32 featuresRoot,
        uint32 exampleCount,
        bytes32 basisRoot,
        uint64 basisSize,
        bytes32 seed,
        uint64 deadline
    );
    event FeaturesFinalized(uint256 indexed id, bytes32 indexed adapter, uint64 finalizedAt);
    event FeaturesSlashed(uint256 indexed id, address indexed challenger, uint8 kind, uint256 bond, uint256 reward);
    event FeaturesVoided(uint256 indexed id);

    error UnknownAdapter(bytes32 adapter);
    error SeedKnown(bytes32 seed);
    error TooEarly(uint256 target);
    error NoSeed();
    error InForce(uint256 id);
    error TooManyPending();
    error OutOfBounds();
    error NotPending(uint256 id);
    error WindowOpen(uint64 deadline);
    error WindowClosed(uint64 deadline);
    error DemandsOpen(uint256 count);
    error NotFraud();

    constructor(
        Parameters parameters,
        StakeVault vault,
        NodeRegistry nodes,
        ModelRegistry models,
        DatanetRegistry datanets
    ) Objections(nodes) {
        PARAMETERS = parameters;
        VAULT = vault;
        MODELS = models;
        DATANETS = datanets;
    }

    // ------------------------------------------------------------ the seed of the projection

    /// Anyone, twice: first notes the next block, then, once it is there, takes its hash. The corpus is final when an
    /// adapter is registered, so no document can be made for a projection; what is left to grind is which of some seeds it
    /// gets. The sequencer can choose among hashes of its block, by censoring the second call for 256 blocks or by what it
    /// puts in; an owner can register other weights, a fee each. Neither can lift an example far: among n seeds the best
    /// score is about sqrt(2 ln n) deviations of the sketch above its mean, and the sketch keeps 2048 coordinates.
    function draw(bytes32 adapter) external {
        if (seedOf[adapter] != 0) revert SeedKnown(seedOf[adapter]);
        (, uint32 shardCount) = MODELS.corpusOf(adapter);
        if (shardCount == 0) revert UnknownAdapter(adapter);
        uint256 target = targetOf[adapter];
        if (target != 0 && block.number <= target) revert TooEarly(target);
        if (target == 0 || block.number - target > BLOCKHASHES) {
            targetOf[adapter] = block.number + 1;
            emit SeedRequested(adapter, block.number + 1);
        } else {
            bytes32 seed = keccak256(abi.encode(blockhash(target), adapter));
            seedOf[adapter] = seed;
            emit SeedDrawn(adapter, seed);
        }
    }

    // ------------------------------------------------------------ publisher

    function publish(
        bytes32 adapter,
        bytes32 featuresRoot,
        uint32 exampleCount,
        bytes32 basisRoot,
        uint64 basisSize
    ) external returns (uint256 id) {
        bytes32 seed = seedOf[adapter];
        if (seed == 0) revert NoSeed();
        if (idOf[adapter] != 0) revert InForce(idOf[adapter]);
        uint256 pending = _pending[adapter].length;
        if (pending >= PENDING_MAX) revert TooManyPending();
        // Without a row nothing could be opened against a set; and a corpus has at least one document.
        if (exampleCount == 0 || exampleCount > EXAMPLES_MAX) revert OutOfBounds();
        if (basisSize == 0 || basisSize > BASIS_MAX) revert OutOfBounds();

        id = ++setCount;
        _pending[adapter].push(id);
        FeatureSet storage set = _sets[id];
        set.version = PARAMETERS.current();
        Parameters.Values memory p = PARAMETERS.at(set.version);
        (set.adapter, set.featuresRoot, set.exampleCount) = (adapter, featuresRoot, exampleCount);
        (set.basisRoot, set.basisSize, set.seed) = (basisRoot, basisSize, seed);
        (set.poster, set.bond) = (msg.sender, p.datanetBond << pending);
        set.validatorBond = NODES.bondOf(NODES.VALIDATOR());
        (set.publishedAt, set.deadline) = (uint64(block.timestamp), uint64(block.timestamp) + p.datanetWindow);
        set.status = Status.Pending;
        emit FeaturesPublished(
            id, adapter, msg.sender, featuresRoot, exampleCount, basisRoot, basisSize, seed, set.deadline
        );
        VAULT.lock(msg.sender, set.bond);
    }

    /// Anyone may trigger. Voids the adapter's other pending sets; their bonds can be had by `release` at once.
    function finalize(uint256 id) external {
        FeatureSet storage set = _sets[id];
        if (set.status != Status.Pending) revert NotPending(id);
        if (block.timestamp < set.deadline) revert WindowOpen(set.deadline);
        if (openDemands[id] != 0) revert DemandsOpen(openDemands[id]);
        _end(id, Status.Final);
        (set.finalizedAt, idOf[set.adapter]) = (uint64(block.timestamp), id);
        emit FeaturesFinalized(id, set.adapter, set.finalizedAt);
        uint256[] storage others = _pending[set.adapter];
        while (others.length != 0) {
            uint256 other = others[others.length - 1];
            releasableAt[other] = uint64(block.timestamp);
            _void(other);
        }
        VAULT.unlock(set.poster, set.bond);
    }

    // ------------------------------------------------------------ refutations: each proves or reverts

    /// The row names no document, or not what the document's own row says, or a later duplicate, or its feature is none.
    /// `document` is ignored where one of the others is so.
    function refuteRow(uint256 id, FeatureOpening calldata row, DocumentOpening calldata document) external {
        FeatureSet storage set = _refutable(id);
        (FeatureRow memory r, bytes calldata phi) = FeatureRows.open(set.featuresRoot, set.exampleCount, row);
        (uint32 datanet, uint32 shardCount) = MODELS.corpusOf(set.adapter);
        bool lies = (r.duplicateOf != NONE && r.duplicateOf >= row.index) || r.shard >= shardCount;
        if (!lies) {
            (bytes32 table, uint32 documents) = DATANETS.tableOf(datanet, r.shard);
            lies = r.document >= documents || !Features.wellFormed(phi);
            if (!lies) {
                if (document.index != r.document) revert NotFraud();
                Document memory d = Documents.open(table, documents, document);
                lies = d.contributor != r.contributor || d.contentRoot != r.contentRoot;
            }
        }
        _convict(id, lies, ROW);
    }

    /// Neighbouring rows are not of successive documents. With `first` NONE: row 0 is not of document 0 of shard 0; with
    /// `second` NONE: the last row is not of the last document.
    function refuteOrder(uint256 id, FeatureOpening calldata first, FeatureOpening calldata second) external {
        FeatureSet storage set = _refutable(id);
        (bytes32 root, uint32 count) = (set.featuresRoot, set.exampleCount);
        bool lies;
        if (first.index == NONE) {
            if (second.index != 0) revert NotFraud();
            (FeatureRow memory r,) = FeatureRows.open(root, count, second);
            lies = r.shard != 0 || r.document != 0;
        } else {
            (FeatureRow memory r,) = FeatureRows.open(root, count, first);
            (bool exists, uint256 shard, uint256 document) = _successor(set.adapter, r);
            if (second.index == NONE) {
                lies = exists && uint256(first.index) + 1 == count;
            } else {
                if (second.index != uint256(first.index) + 1) revert NotFraud();
                (FeatureRow memory s,) = FeatureRows.open(root, count, second);
                lies = !exists || s.shard != shard || s.document != document;
            }
        }
        _convict(id, lies, ORDER);
    }

    /// Row `second` is near the earlier row `first` and names none or a later one; or it names `first` and is not near it.
    function refuteDuplicate(uint256 id, FeatureOpening calldata first, FeatureOpening calldata second) external {
        FeatureSet storage set = _refutable(id);
        if (first.index >= second.index) revert NotFraud();
        (, bytes calldata i) = FeatureRows.open(set.featuresRoot, set.exampleCount, first);
        (FeatureRow memory row, bytes calldata j) = FeatureRows.open(set.featuresRoot, set.exampleCount, second);
        bool near = Features.near(
            Features.dot(i, j),
            Features.norm2(i),
            Features.norm2(j),
            PARAMETERS.at(set.version).duplicateBps
        );
        // NONE is greater than any.
        _convict(id, near ? row.duplicateOf > first.index : row.duplicateOf == first.index, DUPLICATE);
    }

    // ------------------------------------------------------------ answers to demands; the subject is a set

    /// A row (tree 11) or a leaf of the basis (tree 7).
    function answerDemand(uint256 id, uint8 tree, uint64 index, bytes calldata leaf, bytes32[] calldata proof)
        external
    {
        FeatureSet storage set = _sets[id];
        bool opened = tree == Merkle.FEATURE
            ? Merkle.opensBody(
                set.featuresRoot,
                uint256(set.exampleCount) * Merkle.FEATURE_LEAF,
                Merkle.FEATURE,
                Merkle.FEATURE_LEAF,
                leaf,
                index,
                proof
            )
            : tree == Merkle.BODY
                && Merkle.opensBody(set.basisRoot, set.basisSize, Merkle.BODY, Merkle.BODY_LEAF, leaf, index, proof);
        if (!opened) revert BadDisclosure();
        _answered(id, tree, index);
    }

    // ------------------------------------------------------------ views

    function setOf(uint256 id) external view returns (FeatureSet memory) {
        return _sets[id];
    }

    /// The adapter's sets that pend.
    function pendingOf(bytes32 adapter) external view returns (uint256[] memory) {
        return _pending[adapter];
    }

    /// The rows by which the adapter's answers were scored at `asOf`; 0 rows if there were none. Never changes again for
    /// a time that has passed: a set that is in force is never replaced.
    function inForce(bytes32 adapter, uint64 asOf) external view returns (bytes32 featuresRoot, uint32 exampleCount) {
        FeatureSet storage set = _sets[idOf[adapter]];
        uint64 since = set.finalizedAt;
        if (since != 0 && since <= asOf) (featuresRoot, exampleCount) = (set.featuresRoot, set.exampleCount);
    }

    // ------------------------------------------------------------ internals

    function _refutable(uint256 id) internal view returns (FeatureSet storage set) {
        _deadlineOf(id);
        set = _sets[id];
    }

    /// The document after that of a row, if there is one.
    function _successor(bytes32 adapter, FeatureRow memory r)
        internal
        view
        returns (bool exists, uint256 shard, uint256 document)
    {
        (uint32 datanet, uint32 shardCount) = MODELS.corpusOf(adapter);
        (shard, document) = (r.shard, uint256(r.document) + 1);
        if (shard < shardCount) {
            (, uint32 documents) = DATANETS.tableOf(datanet, r.shard);
            if (document < documents) return (true, shard, document);
        }
        return (shard + 1 < shardCount, shard + 1, 0);
    }

    function _convict(uint256 id, bool lies, uint8 kind) internal {
        if (!lies) revert NotFraud();
        _slash(id, kind, msg.sender);
    }

    function _deadlineOf(uint256 id) internal view override returns (uint64 deadline) {
        if (!_isPending(id)) revert NotPending(id);
        deadline = _sets[id].deadline;
        if (block.timestamp >= deadline) revert WindowClosed(deadline);
    }

    function _isPending(uint256 id) internal view override returns (bool) {
        return _sets[id].status == Status.Pending;
    }

    function _hasLeaf(uint256 id, uint8 tree, uint64 index) internal view override returns (bool) {
        FeatureSet storage set = _sets[id];
        if (tree == Merkle.FEATURE) return index < set.exampleCount;
        return tree == Merkle.BODY && index < Merkle.countOf(set.basisSize, Merkle.BODY_LEAF);
    }

    function _terms(uint256 id) internal view override returns (uint64, uint128) {
        Parameters.Values memory p = PARAMETERS.at(_sets[id].version);
        return (p.response, p.demandBond);
    }

    function _jury(uint256 id) internal view override returns (uint64, uint128) {
        FeatureSet storage set = _refutable(id);
        return (set.publishedAt, set.validatorBond);
    }

    /// Takes a set out of those that pend.
    function _end(uint256 id, Status status) internal {
        _sets[id].status = status;
        uint256[] storage pending = _pending[_sets[id].adapter];
        uint256 last = pending.length - 1;
        for (uint256 i = 0; i < last; ++i) {
            if (pending[i] == id) pending[i] = pending[last];
        }
        pending.pop();
    }

    function _slash(uint256 id, uint8 kind, address challenger) internal override {
        FeatureSet storage set = _sets[id];
        _end(id, Status.Slashed);
        uint256 reward = VAULT.slashLocked(set.poster, set.bond, challenger);
        emit FeaturesSlashed(id, challenger, kind, set.bond, reward);
    }

    function _void(uint256 id) internal override {
        _end(id, Status.Voided);
        emit FeaturesVoided(id);
    }

    function _unbonding(uint256 id) internal view override returns (uint64) {
        return PARAMETERS.at(_sets[id].version).unbonding;
    }

    function _unlock(uint256 id) internal override {
        VAULT.unlock(_sets[id].poster, _sets[id].bond);
    }
}
