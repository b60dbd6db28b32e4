// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {DocumentOpening, Kind, NONE, Status} from "./Batches.sol";
import {Demands} from "./Demands.sol";
import {Document, Documents} from "./Documents.sol";
import {Merkle} from "./Merkle.sol";
import {Parameters} from "./Parameters.sol";
import {RewardPool} from "./RewardPool.sol";
import {StakeVault} from "./StakeVault.sol";
import {Text, TextOpening} from "./Text.sol";

/// Datanets and the commitments of their shards. A shard that survives its window is final for ever; one whose text,
/// table or signatures are wrong costs its curator a bond, by one transaction of anyone.
contract DatanetRegistry is EIP712, Demands {
    using Documents for Document;

    struct Datanet {
        address curator;
        uint32 shardCount;
        uint32 finalCount;
    }

    struct Shard {
        bytes32 textRoot;
        bytes32 documentRoot;
        uint64 textSize;
        uint32 documentCount;
        uint64 deadline;
        uint64 publication; // names this publication for demands: an index is used again after a slash
        address curator;
        uint128 bond;
        Status status;
    }

    struct Place {
        uint32 datanet;
        uint32 index;
    }

    bytes32 public constant CONTRIBUTION_TYPEHASH = keccak256(
        "Contribution(uint32 datanet,bytes32 contentRoot,uint64 length,bytes32 terms,uint32 contributor,uint64 nonce)"
    );
    uint256 public constant NAME_MAX = 64; // bytes
    uint256 public constant PENDING_MAX = 16; // shards of one Datanet that wait for their windows
    uint256 public constant TEXT_MAX = 1 << 30; // bytes of one shard
    // Kinds of a conviction, beside Kind.WITHHELD.
    uint8 public constant TEXT = 1;
    uint8 public constant ORDER = 2;
    uint8 public constant UNSIGNED = 3;
    uint8 public constant DUPLICATE = 4;
    uint8 public constant CONTENT_TREE = 8; // of a demand: document << 32 | leaf of the document's own text tree

    Parameters public immutable PARAMETERS;
    StakeVault public immutable VAULT;
    RewardPool public immutable POOL;

    uint32 public datanetCount;
    uint64 public publicationCount;
    uint256 public fees; // wei of creations, for the treasury
    mapping(uint32 datanet => Datanet) internal _datanets;
    mapping(uint32 datanet => mapping(uint32 index => Shard)) internal _shards;
    mapping(uint256 publication => Place) internal _places;

    event DatanetCreated(uint32 indexed datanet, address indexed curator, string name);
    event ShardPublished(
        uint32 indexed datanet,
        uint32 indexed index,
        address indexed curator,
        bytes32 textRoot,
        bytes32 documentRoot,
        uint64 textSize,
        uint32 documentCount,
        uint64 deadline,
        uint64 publication
    );
    event ShardFinalized(uint32 indexed datanet, uint32 indexed index);
    event ShardSlashed(
        uint32 indexed datanet, uint32 indexed index, address indexed challenger, uint8 kind, uint256 bond, uint256 reward
    );
    event ShardVoided(uint32 indexed datanet, uint32 indexed index); // an earlier one was slashed
    event FeesCollected(address indexed treasury, uint256 amount);

    error WrongFee(uint256 have, uint256 want);
    error BadName();
    error NotCurator(address curator);
    error BadShard();
    error TooManyPending(uint32 pending);
    error NotPending(uint32 datanet, uint32 index);
    error WindowOpen(uint64 deadline);
    error WindowClosed(uint64 deadline);
    error DemandsOpen(uint256 count);
    error NotFraud();

    constructor(Parameters parameters, StakeVault vault, RewardPool pool) EIP712("OpenLedger Datanet", "1") {
        PARAMETERS = parameters;
        VAULT = vault;
        POOL = pool;
    }

    // ------------------------------------------------------------ curator

    function create(string calldata name) external payable returns (uint32 datanet) {
        uint128 fee = PARAMETERS.inForce().datanetFee;
        if (msg.value != fee) revert WrongFee(msg.value, fee);
        if (bytes(name).length == 0 || bytes(name).length > NAME_MAX) revert BadName();
        fees += msg.value;
        datanet = ++datanetCount;
        _datanets[datanet].curator = msg.sender;
        emit DatanetCreated(datanet, msg.sender, name);
    }

    function publish(uint32 datanet, bytes32 textRoot, bytes32 documentRoot, uint64 textSize, uint32 documentCount)
        external
        returns (uint32 index)
    {
        Datanet storage net = _datanets[datanet];
        if (net.curator != msg.sender) revert NotCurator(net.curator);
        // Each document has a byte and its separator.
        if (documentCount == 0 || textSize < 2 * uint256(documentCount) || textSize > TEXT_MAX) revert BadShard();
        // Else a table that no node takes would keep everybody from judging what is attributed to the shard.
        if (uint256(documentCount) * Merkle.DOCUMENT_LEAF > TEXT_MAX) revert BadShard();
        uint32 pending = net.shardCount - net.finalCount;
        if (pending >= PENDING_MAX) revert TooManyPending(pending);
        Parameters.Values memory p = PARAMETERS.inForce();
        index = net.shardCount++;
        Shard storage shard = _shards[datanet][index];
        shard.textRoot = textRoot;
        shard.documentRoot = documentRoot;
        shard.textSize = textSize;
        shard.documentCount = documentCount;
        shard.deadline = uint64(block.timestamp) + p.datanetWindow;
        shard.publication = ++publicationCount;
        shard.curator = msg.sender;
        shard.bond = p.datanetBond;
        shard.status = Status.Pending;
        _places[shard.publication] = Place(datanet, index);
        emit ShardPublished(
            datanet,
            index,
            msg.sender,
            textRoot,
            documentRoot,
            textSize,
            documentCount,
            shard.deadline,
            shard.publication
        );
        VAULT.lock(msg.sender, p.datanetBond);
    }

    /// Anyone may trigger; shards become final in their order.
    function finalize(uint32 datanet, uint32 index) external {
        Datanet storage net = _datanets[datanet];
        Shard storage shard = _shards[datanet][index];
        if (index != net.finalCount || index >= net.shardCount) revert NotPending(datanet, index);
        if (block.timestamp < shard.deadline) revert WindowOpen(shard.deadline);
        uint256 demands = openDemands[shard.publication];
        if (demands != 0) revert DemandsOpen(demands);
        shard.status = Status.Final;
        net.finalCount = index + 1;
        emit ShardFinalized(datanet, index);
        VAULT.unlock(shard.curator, shard.bond);
    }

    /// Anyone may trigger.
    function collectFees() external {
        address treasury = POOL.payoutOf(0);
        uint256 amount = fees;
        fees = 0;
        emit FeesCollected(treasury, amount);
        Address.sendValue(payable(treasury), amount);
    }

    // ------------------------------------------------------------ refutations: each proves or reverts

    /// The shard's text differs from leaf `leafIndex` of what the contributor signed.
    function refuteText(
        uint32 datanet,
        uint32 index,
        DocumentOpening calldata document,
        uint64 leafIndex,
        bytes calldata leaf,
        bytes32[] calldata proof,
        TextOpening calldata text
    ) external {
        (Shard storage shard, Document memory d) = _openDocument(datanet, index, document);
        _requireContent(d, leafIndex, leaf, proof);
        uint256 from = uint256(d.start) + leafIndex * Merkle.TEXT_LEAF;
        if (Text.same(Text.window(shard.textRoot, shard.textSize, from, from + leaf.length, text), leaf)) {
            revert NotFraud();
        }
        _convict(datanet, index, TEXT, msg.sender);
    }

    /// No separator before a document.
    function refuteSeparator(
        uint32 datanet,
        uint32 index,
        DocumentOpening calldata document,
        TextOpening calldata text
    ) external {
        (Shard storage shard, Document memory d) = _openDocument(datanet, index, document);
        if (d.start == 0) revert NotFraud(); // that is `refuteOrder`
        bytes memory before = Text.window(shard.textRoot, shard.textSize, d.start - 1, d.start, text);
        if (before[0] == Text.SEPARATOR) revert NotFraud();
        _convict(datanet, index, TEXT, msg.sender);
    }

    /// The chain of starts and lengths is broken at document `a`, or between it and the next one, `b` (or NONE).
    function refuteOrder(uint32 datanet, uint32 index, DocumentOpening calldata a, DocumentOpening calldata b)
        external
    {
        (Shard storage shard, Document memory d) = _openDocument(datanet, index, a);
        bool broken = d.length == 0 || (a.index == 0 && d.start != 1)
            || (a.index == shard.documentCount - 1 && d.end() != shard.textSize);
        if (!broken && b.index != NONE) {
            Document memory next = Documents.open(shard.documentRoot, shard.documentCount, b);
            broken = b.index == uint256(a.index) + 1 && next.start != d.end() + 1;
        }
        if (!broken) revert NotFraud();
        _convict(datanet, index, ORDER, msg.sender);
    }

    /// The contributor has not signed the document. Judged by `signerOf`, which never changes, so a signature that was
    /// good stays good. Id 0 is the treasury, which contributes nothing.
    function refuteUnsigned(uint32 datanet, uint32 index, DocumentOpening calldata document) external {
        (, Document memory d) = _openDocument(datanet, index, document);
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecover(_digest(datanet, d), d.v, d.r, d.s);
        bool signed = err == ECDSA.RecoverError.NoError && signer == POOL.signerOf(d.contributor);
        if (signed && d.contributor != 0) revert NotFraud();
        _convict(datanet, index, UNSIGNED, msg.sender);
    }

    /// A document of this shard repeats an earlier one of the Datanet, in this shard or one before it.
    function refuteDuplicate(
        uint32 datanet,
        uint32 index,
        DocumentOpening calldata document,
        uint32 earlierIndex,
        DocumentOpening calldata earlier
    ) external {
        (, Document memory d) = _openDocument(datanet, index, document);
        if (earlierIndex > index || (earlierIndex == index && earlier.index >= document.index)) revert NotFraud();
        // Every shard before a pending one is pending or final.
        Shard storage shard = _shards[datanet][earlierIndex];
        Document memory e = Documents.open(shard.documentRoot, shard.documentCount, earlier);
        if (e.contentRoot != d.contentRoot || e.length != d.length) revert NotFraud();
        _convict(datanet, index, DUPLICATE, msg.sender);
    }

    // ------------------------------------------------------------ answers to demands; the subject is a publication

    /// A leaf of the shard's text (tree 1) or document table (tree 2).
    function answerDemand(
        uint256 publication,
        uint8 tree,
        uint64 leafIndex,
        bytes calldata leaf,
        bytes32[] calldata proof
    ) external {
        Shard storage shard = _published(publication);
        bool opened = tree == Merkle.TEXT
            ? Merkle.opensBody(
                shard.textRoot, shard.textSize, Merkle.TEXT, Merkle.TEXT_LEAF, leaf, leafIndex, proof
            )
            : tree == Merkle.DOCUMENT
                && Merkle.opensBody(
                    shard.documentRoot,
                    uint256(shard.documentCount) * Merkle.DOCUMENT_LEAF,
                    Merkle.DOCUMENT,
                    Merkle.DOCUMENT_LEAF,
                    leaf,
                    leafIndex,
                    proof
                );
        if (!opened) revert BadDisclosure();
        _answered(publication, tree, leafIndex);
    }

    /// A leaf of what a contributor signed, or the document's row alone if its text has no such leaf.
    function answerContentDemand(
        uint256 publication,
        uint64 leafIndex,
        DocumentOpening calldata document,
        bytes calldata leaf,
        bytes32[] calldata proof
    ) external {
        Shard storage shard = _published(publication);
        Document memory d = Documents.open(shard.documentRoot, shard.documentCount, document);
        if (document.index != leafIndex >> 32) revert BadDisclosure();
        uint64 inside = leafIndex & type(uint32).max;
        if (inside < Merkle.countOf(d.length, Merkle.TEXT_LEAF)) _requireContent(d, inside, leaf, proof);
        _answered(publication, CONTENT_TREE, leafIndex);
    }

    // ------------------------------------------------------------ views

    function datanetOf(uint32 datanet) external view returns (Datanet memory) {
        return _datanets[datanet];
    }

    /// Also a slashed or voided shard, until its index is used again: see `status`.
    function shardOf(uint32 datanet, uint32 index) external view returns (Shard memory) {
        return _shards[datanet][index];
    }

    /// Of a shard what opens its text, for less gas.
    function textOf(uint32 datanet, uint32 index) external view returns (bytes32 textRoot, uint64 textSize) {
        Shard storage shard = _shards[datanet][index];
        return (shard.textRoot, shard.textSize);
    }

    /// Of a shard what opens its documents.
    function tableOf(uint32 datanet, uint32 index) external view returns (bytes32 documentRoot, uint32 documentCount) {
        Shard storage shard = _shards[datanet][index];
        return (shard.documentRoot, shard.documentCount);
    }

    function placeOf(uint256 publication) external view returns (Place memory) {
        return _places[publication];
    }

    /// How many of a Datanet's first shards are final; 0 for an unknown one.
    function finalShards(uint32 datanet) external view returns (uint32) {
        return _datanets[datanet].finalCount;
    }

    // ------------------------------------------------------------ internals

    function _openDocument(uint32 datanet, uint32 index, DocumentOpening calldata o)
        internal
        view
        returns (Shard storage shard, Document memory)
    {
        shard = _shards[datanet][index];
        if (shard.status != Status.Pending) revert NotPending(datanet, index);
        return (shard, Documents.open(shard.documentRoot, shard.documentCount, o));
    }

    function _requireContent(Document memory d, uint64 index, bytes calldata leaf, bytes32[] calldata proof)
        internal
        view
    {
        if (!Merkle.opensBody(d.contentRoot, d.length, Merkle.TEXT, Merkle.TEXT_LEAF, leaf, index, proof)) {
            revert BadDisclosure();
        }
    }

    function _digest(uint32 datanet, Document memory d) internal view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    CONTRIBUTION_TYPEHASH, datanet, d.contentRoot, d.length, d.terms, d.contributor, d.nonce
                )
            )
        );
    }

    /// Slashes one shard and voids those after it, whose place in the order depends on it.
    function _convict(uint32 datanet, uint32 index, uint8 kind, address challenger) internal {
        Shard storage shard = _shards[datanet][index];
        if (block.timestamp >= shard.deadline && kind != Kind.WITHHELD) revert WindowClosed(shard.deadline);
        Datanet storage net = _datanets[datanet];
        uint32 count = net.shardCount;
        net.shardCount = index;
        shard.status = Status.Slashed;
        for (uint32 i = index + 1; i < count; ++i) {
            Shard storage later = _shards[datanet][i];
            later.status = Status.Slashed;
            emit ShardVoided(datanet, i);
            VAULT.unlock(later.curator, later.bond);
        }
        uint256 reward = VAULT.slashLocked(shard.curator, shard.bond, challenger);
        emit ShardSlashed(datanet, index, challenger, kind, shard.bond, reward);
    }

    function _published(uint256 publication) internal view returns (Shard storage shard) {
        Place memory place = _places[publication];
        shard = _shards[place.datanet][place.index];
        // Else the index is used again by a later publication.
        if (shard.publication != publication || shard.status != Status.Pending) {
            revert NotPending(place.datanet, place.index);
        }
    }

    function _deadlineOf(uint256 publication) internal view override returns (uint64) {
        return _published(publication).deadline;
    }

    function _isPending(uint256 publication) internal view override returns (bool) {
        Place memory place = _places[publication];
        Shard storage shard = _shards[place.datanet][place.index];
        return shard.publication == publication && shard.status == Status.Pending;
    }

    function _hasLeaf(uint256 publication, uint8 tree, uint64 index) internal view override returns (bool) {
        Shard storage shard = _published(publication);
        if (tree == Merkle.TEXT) return index < Merkle.countOf(shard.textSize, Merkle.TEXT_LEAF);
        if (tree == Merkle.DOCUMENT) return index < shard.documentCount;
        return tree == CONTENT_TREE && index >> 32 < shard.documentCount;
    }

    function _terms(uint256) internal view override returns (uint64, uint128) {
        Parameters.Values memory p = PARAMETERS.inForce();
        return (p.response, p.demandBond);
    }

    function _slash(uint256 publication, uint8 kind, address challenger) internal override {
        Place memory place = _places[publication];
        _convict(place.datanet, place.index, kind, challenger);
    }
}
