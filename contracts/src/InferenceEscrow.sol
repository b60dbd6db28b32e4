// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ModelRegistry} from "./ModelRegistry.sol";
import {NodeRegistry} from "./NodeRegistry.sol";
import {Parameters} from "./Parameters.sol";
import {Receipt, hashReceipt, overlap} from "./Receipts.sol";
import {RewardPool} from "./RewardPool.sol";
import {StakeVault} from "./StakeVault.sol";

/// Pay per answer: a payer's deposit for one host, drawn by cumulative signed vouchers and split when it is drawn.
contract InferenceEscrow is ReentrancyGuardTransient, EIP712 {
    struct Balance {
        uint128 amount;
        uint128 thawing;
        uint64 thawAt;
    }

    struct Signer {
        address payer;
        uint64 until; // 0: not dropped
    }

    struct Voucher {
        address payer;
        address host;
        bytes32 adapter;
        uint128 cumulative; // wei ever owed on (payer, host, adapter)
        bytes signature; // by the payer or his hot key; not part of what is signed
    }

    struct Shares {
        uint256 platform;
        uint256 stakers;
        uint256 contributors;
        uint256 owner;
        uint256 host;
    }

    uint256 public constant BPS = 10_000;
    bytes32 public constant VOUCHER_TYPEHASH =
        keccak256("Voucher(address payer,address host,bytes32 adapter,uint128 cumulative)");
    bytes32 public constant SIGNER_TYPEHASH = keccak256("Signer(address payer)");
    Parameters public immutable PARAMETERS;
    RewardPool public immutable POOL;
    StakeVault public immutable VAULT;
    ModelRegistry public immutable MODELS;
    NodeRegistry public immutable NODES;
    address public immutable TREASURY;

    mapping(address payer => mapping(address host => Balance)) public balances;
    mapping(address payer => mapping(address host => mapping(bytes32 adapter => uint128))) public redeemed;
    mapping(address signer => Signer) public signers; // hot keys
    mapping(address => uint256) public earned; // pulled
    uint256 public totalEscrow;
    uint256 public totalEarned;

    event Deposited(address indexed payer, address indexed host, uint256 amount, uint256 balance);
    event ThawStarted(address indexed payer, address indexed host, uint256 amount, uint64 availableAt);
    event Withdrawn(address indexed payer, address indexed host, uint256 amount);
    event SignerSet(address indexed payer, address indexed signer);
    event SignerDropped(address indexed payer, address indexed signer, uint64 until);
    event Redeemed(
        address indexed payer,
        address indexed host,
        bytes32 indexed adapter,
        uint256 amount,
        uint256 cumulative,
        uint256 platform,
        uint256 stakers,
        uint256 contributors,
        uint256 owner,
        uint256 hostShare
    );
    event EarnedClaimed(address indexed owner, address indexed to, uint256 amount);
    event EquivocationRefuted(address indexed host, address indexed challenger, bytes32 digestA, bytes32 digestB);

    error NothingToDo();
    error BadSigner(address got);
    error SignerTaken(address payer);
    error NotYourSigner(address signer);
    error NotMonotonic(uint256 have, uint256 got);
    error Insufficient(uint256 have, uint256 want);
    error StillThawing(uint64 availableAt);
    error UnknownAdapter(bytes32 adapter);
    error NotEquivocation();

    constructor(
        Parameters parameters,
        RewardPool pool,
        StakeVault vault,
        ModelRegistry models,
        NodeRegistry nodes,
        address treasury
    ) EIP712("OpenLedger Inference", "1") {
        PARAMETERS = parameters;
        POOL = pool;
        VAULT = vault;
        MODELS = models;
        NODES = nodes;
        TREASURY = treasury;
    }

    // ------------------------------------------------------------ payer

    function deposit(address host) external payable {
        if (msg.value == 0) revert NothingToDo();
        Balance storage b = balances[msg.sender][host];
        b.amount += uint128(msg.value);
        totalEscrow += msg.value;
        emit Deposited(msg.sender, host, msg.value, b.amount);
    }

    /// Notice to the host: he has one window to redeem what he holds. A new notice replaces the old one.
    function thaw(address host, uint128 amount) external {
        Balance storage b = balances[msg.sender][host];
        if (amount == 0 || amount > b.amount) revert Insufficient(b.amount, amount);
        b.thawing = amount;
        b.thawAt = _notice();
        emit ThawStarted(msg.sender, host, amount, b.thawAt);
    }

    /// Vouchers stay redeemable meanwhile; what they left of the thawing amount comes out.
    function withdraw(address host) external nonReentrant {
        Balance storage b = balances[msg.sender][host];
        if (b.thawAt == 0) revert NothingToDo();
        if (block.timestamp < b.thawAt) revert StillThawing(b.thawAt);
        uint128 amount = b.thawing < b.amount ? b.thawing : b.amount;
        b.amount -= amount;
        b.thawing = 0;
        b.thawAt = 0;
        totalEscrow -= amount;
        emit Withdrawn(msg.sender, host, amount);
        Address.sendValue(payable(msg.sender), amount);
    }

    /// `proof` is the hot key's own signature over the payer, so that nobody can claim another's key.
    function setSigner(address signer, bytes calldata proof) external {
        if (signers[signer].payer != address(0)) revert SignerTaken(signers[signer].payer);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(SIGNER_TYPEHASH, msg.sender)));
        address got = ECDSA.recover(digest, proof);
        if (got != signer) revert BadSigner(got);
        signers[signer].payer = msg.sender;
        emit SignerSet(msg.sender, signer);
    }

    /// With notice, like a withdrawal: vouchers that the host already holds stay good for one window. A dropped key
    /// never comes back.
    function dropSigner(address signer) external {
        Signer storage s = signers[signer];
        if (s.payer != msg.sender || s.until != 0) revert NotYourSigner(signer);
        s.until = _notice();
        emit SignerDropped(msg.sender, signer, s.until);
    }

    // ------------------------------------------------------------ host

    /// Anyone may send vouchers in; the shares go where they belong.
    function redeem(Voucher[] calldata vouchers) external nonReentrant {
        uint256 toPool;
        uint256 toStakers;
        for (uint256 i = 0; i < vouchers.length; ++i) {
            (uint256 contributors, uint256 stakers) = _redeem(vouchers[i]);
            toPool += contributors;
            toStakers += stakers;
        }
        if (toPool != 0) POOL.fund{value: toPool}();
        if (toStakers != 0) VAULT.distribute{value: toStakers}();
    }

    /// The owner of earnings names who receives them, so an owner that rejects value can still be paid.
    function claimEarned(address to) external nonReentrant {
        uint256 amount = earned[msg.sender];
        if (amount == 0) revert NothingToDo();
        earned[msg.sender] = 0;
        totalEarned -= amount;
        emit EarnedClaimed(msg.sender, to, amount);
        Address.sendValue(payable(to), amount);
    }

    // ------------------------------------------------------------ anyone

    /// Two different receipts of one host that draw on a common part of one voucher: at least one answer of them was
    /// never paid for. Costs the host his bond. Signatures have 65 bytes (r, s, v) or 64 (r, vs).
    function refuteEquivocation(Receipt calldata a, bytes calldata sigA, Receipt calldata b, bytes calldata sigB)
        external
    {
        bytes32 digestA = receiptDigest(a);
        bytes32 digestB = receiptDigest(b);
        if (digestA == digestB || !overlap(a, b)) revert NotEquivocation();
        _requireSigned(a.host, digestA, sigA);
        _requireSigned(a.host, digestB, sigB);
        emit EquivocationRefuted(a.host, msg.sender, digestA, digestB);
        NODES.slash(a.host, msg.sender);
    }

    // ------------------------------------------------------------ views

    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(hashReceipt(receipt));
    }

    function voucherDigest(Voucher calldata v) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, v.payer, v.host, v.adapter, v.cumulative)));
    }

    /// How an amount is split now. The contributors' share is exactly amount * contributorsBps / BPS rounded down, the
    /// figure that the attribution of an answer divides, so attributions never add up to more than was paid in. The host
    /// gets by subtraction, so every rounding ends with him and nothing is lost.
    function sharesOf(uint256 amount, uint16 hostBps) public view returns (Shares memory s) {
        Parameters.Values memory p = PARAMETERS.inForce();
        s.platform = (amount * p.platformBps) / BPS;
        s.stakers = (amount * p.stakersBps) / BPS;
        s.contributors = (amount * (BPS - p.platformBps - p.modelBps - p.stakersBps)) / BPS;
        s.owner = (((amount * p.modelBps) / BPS) * (BPS - hostBps)) / BPS;
        s.host = amount - s.platform - s.stakers - s.contributors - s.owner;
    }

    // ------------------------------------------------------------ internals

    function _redeem(Voucher calldata v) internal returns (uint256 contributors, uint256 stakers) {
        _requireVoucherSigner(v);
        uint128 was = redeemed[v.payer][v.host][v.adapter];
        if (v.cumulative <= was) revert NotMonotonic(was, v.cumulative);
        uint128 amount = v.cumulative - was;
        Balance storage b = balances[v.payer][v.host];
        if (b.amount < amount) revert Insufficient(b.amount, amount);
        ModelRegistry.Adapter memory adapter = MODELS.adapterOf(v.adapter);
        if (adapter.owner == address(0)) revert UnknownAdapter(v.adapter);

        redeemed[v.payer][v.host][v.adapter] = v.cumulative;
        b.amount -= amount;
        totalEscrow -= amount;
        Shares memory s = sharesOf(amount, adapter.hostBps);
        earned[TREASURY] += s.platform;
        earned[adapter.owner] += s.owner;
        earned[v.host] += s.host;
        totalEarned += s.platform + s.owner + s.host;
        _announce(v, amount, s);
        return (s.contributors, s.stakers);
    }

    function _announce(Voucher calldata v, uint128 amount, Shares memory s) internal {
        emit Redeemed(
            v.payer, v.host, v.adapter, amount, v.cumulative, s.platform, s.stakers, s.contributors, s.owner, s.host
        );
    }

    function _requireVoucherSigner(Voucher calldata v) internal view {
        address got = ECDSA.recover(voucherDigest(v), v.signature);
        if (got == v.payer) return;
        Signer storage s = signers[got];
        if (s.payer != v.payer || (s.until != 0 && block.timestamp >= s.until)) revert BadSigner(got);
    }

    function _requireSigned(address host, bytes32 digest, bytes calldata signature) internal pure {
        address got = signature.length == 64
            ? ECDSA.recover(digest, bytes32(signature[:32]), bytes32(signature[32:]))
            : ECDSA.recover(digest, signature);
        if (got != host) revert BadSigner(got);
    }

    function _notice() internal view returns (uint64) {
        return uint64(block.timestamp) + PARAMETERS.inForce().window;
    }
}
