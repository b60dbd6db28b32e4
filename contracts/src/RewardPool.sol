// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SumMerkle} from "./SumMerkle.sol";

/// Contributors and their cumulative rewards under one Merkle-sum root (the TOTAL tree of the protocol).
/// Whatever root is set, the leaves that open under it add up to `allocated`, and `allocated` never exceeds `funded`.
contract RewardPool is AccessManaged, ReentrancyGuardTransient {
    struct Claim {
        uint32 id;
        uint128 cumulative;
        SumMerkle.Sibling[] proof;
    }

    uint256 public constant DEPTH = 24; // 16.7 M contributors
    uint256 public constant PAY_GAS = 50_000; // a payee in an array gets no more; the rest is credited

    bytes32 public root;
    uint128 public allocated; // sum of all cumulative amounts under `root`
    uint128 public funded; // everything ever received
    uint128 public claimedTotal; // paid or credited
    uint128 public totalCredit;
    uint32 public nextId = 1; // id 0 is the treasury
    mapping(uint32 id => uint128) public claimed;
    mapping(uint32 id => address) public payoutOf; // its holder can move it
    /// Who signs contributions for this id: the first payout address, for ever. Were it to move with the payout, a
    /// contributor could make a curator's honest shard refutable after the fact.
    mapping(uint32 id => address) public signerOf;
    mapping(address payee => uint256) public credit; // of payees that rejected value

    event ContributorRegistered(uint32 indexed id, address indexed payout);
    event PayoutMoved(uint32 indexed id, address indexed payout);
    event Funded(address indexed sender, uint256 amount, uint256 funded);
    event RootSet(bytes32 indexed root, uint256 allocated);
    event Claimed(uint32 indexed id, address indexed payout, uint256 amount, uint256 cumulative, bool credited);
    event CreditClaimed(address indexed owner, address indexed to, uint256 amount);

    error NotPayout(uint32 id, address caller);
    error NoPayout();
    error PoolFull();
    error Overallocated(uint256 want, uint256 funded);
    error AllocationShrinks(uint256 have, uint256 want);
    error BadProof(uint32 id);
    error NothingToClaim();

    constructor(address authority, address treasury) AccessManaged(authority) {
        payoutOf[0] = treasury;
        signerOf[0] = treasury;
        emit ContributorRegistered(0, treasury);
    }

    // ------------------------------------------------------------ contributors

    function register(address payout) external returns (uint32 id) {
        if (payout == address(0)) revert NoPayout();
        id = nextId;
        if (id >> DEPTH != 0) revert PoolFull();
        nextId = id + 1;
        payoutOf[id] = payout;
        signerOf[id] = payout;
        emit ContributorRegistered(id, payout);
    }

    function movePayout(uint32 id, address payout) external {
        if (payoutOf[id] != msg.sender) revert NotPayout(id, msg.sender);
        if (payout == address(0)) revert NoPayout();
        payoutOf[id] = payout;
        emit PayoutMoved(id, payout);
    }

    /// Anyone may trigger; the money goes to the registered payout addresses. One that rejects it, or wants more than
    /// PAY_GAS, is credited and does not stop the others.
    function claim(Claim[] calldata claims) external nonReentrant {
        for (uint256 i = 0; i < claims.length; ++i) {
            Claim calldata c = claims[i];
            if (!SumMerkle.opens(root, allocated, DEPTH, c.cumulative, c.id, c.proof)) revert BadProof(c.id);
            uint128 was = claimed[c.id];
            if (c.cumulative <= was) revert NothingToClaim();
            address payout = payoutOf[c.id];
            if (payout == address(0)) revert NoPayout();
            uint128 amount = c.cumulative - was;
            claimed[c.id] = c.cumulative;
            claimedTotal += amount;
            bool paid = _pay(payout, amount);
            if (!paid) {
                credit[payout] += amount;
                totalCredit += amount;
            }
            emit Claimed(c.id, payout, amount, c.cumulative, !paid);
        }
    }

    /// The owner of a credit names who receives it.
    function claimCredit(address to) external nonReentrant {
        uint256 amount = credit[msg.sender];
        if (amount == 0) revert NothingToClaim();
        credit[msg.sender] = 0;
        totalCredit -= uint128(amount);
        emit CreditClaimed(msg.sender, to, amount);
        Address.sendValue(payable(to), amount);
    }

    // ------------------------------------------------------------ money in, roots

    function fund() external payable {
        funded += uint128(msg.value);
        emit Funded(msg.sender, msg.value, funded);
    }

    function setRoot(bytes32 newRoot, uint128 newAllocated) external restricted {
        if (newAllocated < allocated) revert AllocationShrinks(allocated, newAllocated);
        if (newAllocated > funded) revert Overallocated(newAllocated, funded);
        root = newRoot;
        allocated = newAllocated;
        emit RootSet(newRoot, newAllocated);
    }

    // ------------------------------------------------------------ internals

    /// Copies nothing of what the payee returns, which could cost more gas than the call itself. Who triggers cannot starve
    /// the payee to turn its payment into a credit: a call that gets less than PAY_GAS gets 63/64 of all there is, and what
    /// then is left does not pay for writing a credit.
    function _pay(address payee, uint256 amount) internal returns (bool ok) {
        uint256 limit = PAY_GAS;
        assembly ("memory-safe") {
            ok := call(limit, payee, amount, 0, 0, 0, 0)
        }
    }
}
