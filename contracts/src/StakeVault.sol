// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Parameters} from "./Parameters.sol";

/// Stake in native OPEN: free -> locked behind a promise -> free; free -> unbonding -> out.
/// Free and locked stake earn the stakers' share of every fee. Slashing makes no external call; all exits are pulls.
contract StakeVault is AccessManaged, ReentrancyGuardTransient {
    struct Account {
        uint128 free;
        uint128 locked;
        uint128 unbonding;
        uint64 unbondAt;
    }

    struct Earnings {
        uint256 perStake; // the accumulator when `scaled` was last brought up to date
        uint256 scaled; // earned and not claimed, in wei * SCALE: the fraction of a wei is kept, not rounded away
    }

    uint256 public constant BPS = 10_000;
    uint256 public constant SCALE = 2 ** 96; // stake is below 2^96 wei, so the remainder stays below one wei
    address public constant BURNED = address(0xdead);
    Parameters public immutable PARAMETERS;
    address public immutable TREASURY;

    mapping(address operator => Account) public accounts;
    /// A module can unlock and slash only what it has locked itself, so one module's bug cannot touch another's bonds.
    mapping(address module => mapping(address operator => uint128)) public lockedBy;
    mapping(address => uint256) public credit; // challengers' rewards and the treasury's part
    mapping(address operator => Earnings) public earnings;
    uint256 public perStake; // wei * SCALE ever earned by one wei of stake
    uint256 public remainder; // wei * SCALE that did not divide by the stake; goes into the next distribution
    uint256 public earningStake; // sum of free + locked
    uint256 public totalStake; // sum of free + locked + unbonding
    uint256 public totalCredit;
    uint256 public totalRewards; // distributed to stakers and not claimed
    uint256 public burnPending;

    event Staked(address indexed operator, address indexed staker, uint256 amount);
    event UnbondStarted(address indexed operator, uint256 amount, uint64 availableAt);
    event StakeWithdrawn(address indexed operator, uint256 amount);
    event Locked(address indexed module, address indexed operator, uint256 amount);
    event Unlocked(address indexed module, address indexed operator, uint256 amount);
    event Slashed(
        address indexed module,
        address indexed operator,
        address indexed challenger,
        uint256 amount,
        uint256 reward,
        uint256 treasury,
        uint256 burned
    );
    event Distributed(address indexed sender, uint256 amount, uint256 toTreasury);
    event RewardsClaimed(address indexed operator, uint256 amount);
    event CreditClaimed(address indexed owner, address indexed to, uint256 amount);
    event Burned(uint256 amount);

    error InsufficientFree(uint256 have, uint256 want);
    error InsufficientLock(uint256 have, uint256 want);
    error StillUnbonding(uint64 availableAt);
    error NothingToDo();

    constructor(address authority, Parameters parameters, address treasury) AccessManaged(authority) {
        PARAMETERS = parameters;
        TREASURY = treasury;
    }

    // ------------------------------------------------------------ operators

    /// Anyone may stake for an operator; only the operator can take it out.
    function stake(address operator) external payable {
        if (msg.value == 0) revert NothingToDo();
        _settle(operator);
        accounts[operator].free += uint128(msg.value);
        earningStake += msg.value;
        totalStake += msg.value;
        emit Staked(operator, msg.sender, msg.value);
    }

    /// Adds to the pending exit and restarts its clock. From now on this stake earns nothing.
    function startUnbond(uint128 amount) external {
        Account storage a = accounts[msg.sender];
        if (amount == 0) revert NothingToDo();
        if (a.free < amount) revert InsufficientFree(a.free, amount);
        _settle(msg.sender);
        a.free -= amount;
        a.unbonding += amount;
        a.unbondAt = uint64(block.timestamp) + PARAMETERS.inForce().unbonding;
        earningStake -= amount;
        emit UnbondStarted(msg.sender, amount, a.unbondAt);
    }

    function withdraw() external nonReentrant {
        Account storage a = accounts[msg.sender];
        uint256 amount = a.unbonding;
        if (amount == 0) revert NothingToDo();
        if (block.timestamp < a.unbondAt) revert StillUnbonding(a.unbondAt);
        a.unbonding = 0;
        totalStake -= amount;
        emit StakeWithdrawn(msg.sender, amount);
        Address.sendValue(payable(msg.sender), amount);
    }

    // ------------------------------------------------------------ modules

    function lock(address operator, uint128 amount) external restricted {
        Account storage a = accounts[operator];
        if (a.free < amount) revert InsufficientFree(a.free, amount);
        a.free -= amount;
        a.locked += amount;
        lockedBy[msg.sender][operator] += amount;
        emit Locked(msg.sender, operator, amount);
    }

    function unlock(address operator, uint128 amount) external restricted {
        _release(operator, amount);
        accounts[operator].free += amount;
        emit Unlocked(msg.sender, operator, amount);
    }

    /// Takes locked stake: a part to the challenger, a part to the treasury, the rest is burned.
    /// @return reward what the challenger may now pull.
    function slashLocked(address operator, uint128 amount, address challenger)
        external
        restricted
        returns (uint256 reward)
    {
        _settle(operator);
        _release(operator, amount);
        earningStake -= amount;
        totalStake -= amount;
        Parameters.Values memory p = PARAMETERS.inForce();
        reward = (uint256(amount) * p.challengerBps) / BPS;
        uint256 toTreasury = (uint256(amount) * p.treasuryBps) / BPS;
        uint256 toBurn = amount - reward - toTreasury;
        credit[challenger] += reward;
        credit[TREASURY] += toTreasury;
        totalCredit += reward + toTreasury;
        burnPending += toBurn;
        emit Slashed(msg.sender, operator, challenger, amount, reward, toTreasury, toBurn);
    }

    // ------------------------------------------------------------ stakers' share

    /// Splits what is sent over all free and locked stake. To the wei: SCALE * (sent - claimed) is always the sum of all
    /// scaled earnings and the remainder. With no stake at all the treasury gets it.
    function distribute() external payable {
        if (msg.value == 0) revert NothingToDo();
        if (earningStake == 0) {
            credit[TREASURY] += msg.value;
            totalCredit += msg.value;
            emit Distributed(msg.sender, msg.value, msg.value);
            return;
        }
        uint256 pot = msg.value * SCALE + remainder;
        perStake += pot / earningStake;
        remainder = pot % earningStake;
        totalRewards += msg.value;
        emit Distributed(msg.sender, msg.value, 0);
    }

    function claimRewards() external nonReentrant {
        _settle(msg.sender);
        Earnings storage e = earnings[msg.sender];
        uint256 amount = e.scaled / SCALE;
        if (amount == 0) revert NothingToDo();
        e.scaled %= SCALE;
        totalRewards -= amount;
        emit RewardsClaimed(msg.sender, amount);
        Address.sendValue(payable(msg.sender), amount);
    }

    /// What `claimRewards` would pay, in wei.
    function rewardsOf(address operator) external view returns (uint256) {
        return _scaled(operator) / SCALE;
    }

    // ------------------------------------------------------------ pulls

    /// The owner of a credit names who receives it, so an owner that rejects value can still be paid.
    function claimCredit(address to) external nonReentrant {
        uint256 amount = credit[msg.sender];
        if (amount == 0) revert NothingToDo();
        credit[msg.sender] = 0;
        totalCredit -= amount;
        emit CreditClaimed(msg.sender, to, amount);
        Address.sendValue(payable(to), amount);
    }

    function flushBurn() external nonReentrant {
        uint256 amount = burnPending;
        if (amount == 0) revert NothingToDo();
        burnPending = 0;
        emit Burned(amount);
        Address.sendValue(payable(BURNED), amount);
    }

    // ------------------------------------------------------------ internals

    /// Must run before an operator's free + locked changes.
    function _settle(address operator) internal {
        Earnings storage e = earnings[operator];
        e.scaled = _scaled(operator);
        e.perStake = perStake;
    }

    /// No overflow: what one stake earned is at most all that was ever distributed, below 2^128 wei, times SCALE.
    function _scaled(address operator) internal view returns (uint256) {
        Account storage a = accounts[operator];
        Earnings storage e = earnings[operator];
        return e.scaled + (uint256(a.free) + a.locked) * (perStake - e.perStake);
    }

    function _release(address operator, uint128 amount) internal {
        uint128 have = lockedBy[msg.sender][operator];
        if (have < amount) revert InsufficientLock(have, amount);
        lockedBy[msg.sender][operator] = have - amount;
        accounts[operator].locked -= amount;
    }
}
