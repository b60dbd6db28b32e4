// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {InferenceEscrow} from "../src/InferenceEscrow.sol";
import {RewardPool} from "../src/RewardPool.sol";
import {Deploy, TenFinalShards} from "./Deploy.t.sol";

contract Moody {
    bool public accepts;

    function turn() external {
        accepts = !accepts;
    }

    function collect(RewardPool pool, address to) external {
        pool.claimCredit(to);
    }

    receive() external payable {
        require(accepts);
    }
}

/// Random actors, guided so that deep states are reached often. Counts what must never happen: `stuck` (money that is
/// due cannot be taken), `replayed` (something worked twice), `robbed` (somebody got what is another's).
contract Handler is Deploy {
    address[3] operators = [address(0xA1), address(0xA2), address(0xA3)];
    address[2] challengers = [address(0xB1), address(0xB2)];
    uint256[2] payerKeys = [uint256(0x11), 0x22];
    uint256[2] hostKeys = [uint256(0x33), 0x44];
    address[2] hosts;
    address[] everybody;
    Moody moody = new Moody();
    uint128[8] cumulative; // what the pool's root says
    uint256 public moneyIn; // wei that entered the contracts and has not left
    uint256 public fees;
    uint256 public promised; // contributors' shares of all redeemed fees
    uint256 public stuck;
    uint256 public replayed;
    uint256 public robbed;
    mapping(bytes32 => uint256) public calls;

    constructor() {
        deploy(new TenFinalShards());
        for (uint256 i = 0; i < 2; ++i) {
            hosts[i] = vm.addr(hostKeys[i]);
            vm.deal(vm.addr(payerKeys[i]), 1e6 ether);
            vm.deal(hosts[i], 1e6 ether);
            everybody.push(hosts[i]);
            everybody.push(challengers[i]);
        }
        for (uint256 i = 0; i < 3; ++i) {
            vm.deal(operators[i], 1e6 ether);
            everybody.push(operators[i]);
        }
        everybody.push(TREASURY);
        everybody.push(OWNER);
        for (uint160 i = 1; i < 7; ++i) {
            pool.register(address(0x1000 + i));
        }
        pool.register(address(moody));
        vm.deal(address(this), 10 ether);
        registerAdapter(ADAPTER, "adapter", 3_333);
        registerAdapter(OTHER_ADAPTER, "other", 10_000);
        (moneyIn, fees) = (3 ether, 3 ether);
    }

    // ------------------------------------------------------------ stake

    function stake(uint256 i, uint96 x) public {
        address who = everybody[i % 7];
        uint256 amount = bound(x, 1, 300 ether);
        if (who.balance < amount) return;
        vm.prank(who);
        vault.stake{value: amount}(who);
        moneyIn += amount;
    }

    function unbond(uint256 i, uint96 x) public {
        address who = everybody[i % 7];
        (uint128 free,,,) = vault.accounts(who);
        if (free == 0) return;
        vm.prank(who);
        vault.startUnbond(uint128(bound(x, 1, free)));
    }

    function withdraw(uint256 i) public {
        address who = everybody[i % 7];
        (,, uint128 amount, uint64 at) = vault.accounts(who);
        uint256 before = who.balance;
        vm.prank(who);
        try vault.withdraw() {
            left(who, before, amount);
            if (block.timestamp < at) robbed++;
        } catch {
            if (amount != 0 && block.timestamp >= at) stuck++;
        }
    }

    function lock(uint256 i, uint96 x) public {
        address who = everybody[i % 7];
        (uint128 free,,,) = vault.accounts(who);
        if (free != 0) vault.lock(who, uint128(bound(x, 1, free)));
    }

    function unlock(uint256 i, uint96 x) public {
        address who = everybody[i % 7];
        uint128 locked = vault.lockedBy(address(this), who);
        if (locked != 0) vault.unlock(who, uint128(bound(x, 1, locked)));
    }

    function slash(uint256 i, uint256 j, uint96 x) public {
        address who = everybody[i % 7];
        uint128 locked = vault.lockedBy(address(this), who);
        if (locked == 0) return;
        uint128 amount = uint128(bound(x, 1, locked));
        uint256 reward = vault.slashLocked(who, amount, challengers[j % 2]);
        if (reward * 2 > amount) robbed++;
        calls["slash"]++;
    }

    /// What a module has not locked it cannot take, whatever others have locked.
    function overreach(uint256 i, uint96 x) public {
        address who = everybody[i % 7];
        uint128 more = vault.lockedBy(address(this), who) + uint128(bound(x, 1, 1e24));
        try vault.unlock(who, more) {
            robbed++;
        } catch {}
        try vault.slashLocked(who, more, challengers[0]) {
            robbed++;
        } catch {}
    }

    function claimRewards(uint256 i) public {
        address who = everybody[i % 7];
        uint256 due = vault.rewardsOf(who);
        uint256 before = who.balance;
        vm.prank(who);
        try vault.claimRewards() {
            left(who, before, due);
            calls["rewards"]++;
        } catch {
            if (due != 0) stuck++;
        }
        vm.prank(who);
        try vault.claimRewards() {
            replayed++;
        } catch {}
    }

    function claimCredit(uint256 i) public {
        address who = everybody[i % everybody.length];
        uint256 due = vault.credit(who);
        uint256 before = who.balance;
        vm.prank(who);
        try vault.claimCredit(who) {
            left(who, before, due);
        } catch {
            if (due != 0) stuck++;
        }
        vm.prank(who);
        try vault.claimCredit(who) {
            replayed++;
        } catch {}
    }

    function burn() public {
        uint256 due = vault.burnPending();
        try vault.flushBurn() {
            moneyIn -= due;
        } catch {
            if (due != 0) stuck++;
        }
    }

    // ------------------------------------------------------------ nodes

    function registerHost(uint256 j) public {
        address host = hosts[j % 2];
        vm.prank(host);
        try nodes.register{value: 100 ether}(4, abi.encode(host), "") {
            moneyIn += 100 ether;
            calls["register"]++;
        } catch {}
    }

    function leave(uint256 j) public {
        vm.prank(hosts[j % 2]);
        try nodes.leave() {} catch {}
    }

    function release(uint256 j) public {
        uint64 at = nodes.nodeOf(hosts[j % 2]).leavesAt;
        try nodes.release(hosts[j % 2]) {
            calls["release"]++;
            if (block.timestamp < at) robbed++;
        } catch {
            if (at != 0 && block.timestamp >= at) stuck++;
        }
    }

    function equivocate(uint256 j, uint256 k) public {
        uint256 key = hostKeys[j % 2];
        address host = hosts[j % 2];
        uint256 bond = nodes.nodeOf(host).bond;
        bytes32 a = escrow.receiptDigest(receipt(address(1), host, 2, 2, "a"));
        bytes32 b = escrow.receiptDigest(receipt(address(1), host, 2, 3, "b"));
        bytes memory sigA = signed(key, a);
        bytes memory sigB = signed(key, b);
        vm.prank(challengers[k % 2]);
        try escrow.refuteEquivocation(
            receipt(address(1), host, 2, 2, "a"), sigA, receipt(address(1), host, 2, 3, "b"), sigB
        ) {
            calls["equivocation"]++;
            if (bond == 0 || nodes.nodeOf(host).bond != 0) robbed++;
        } catch {
            if (bond != 0) stuck++;
        }
    }

    // ------------------------------------------------------------ escrow

    function deposit(uint256 i, uint256 j, uint96 x) public {
        address payer = vm.addr(payerKeys[i % 2]);
        uint256 amount = bound(x, 1, 50 ether);
        if (payer.balance < amount) return;
        vm.prank(payer);
        escrow.deposit{value: amount}(hosts[j % 2]);
        moneyIn += amount;
    }

    function thaw(uint256 i, uint256 j, uint96 x) public {
        address payer = vm.addr(payerKeys[i % 2]);
        (uint128 amount,,) = escrow.balances(payer, hosts[j % 2]);
        if (amount == 0) return;
        vm.prank(payer);
        escrow.thaw(hosts[j % 2], uint128(bound(x, 1, amount)));
    }

    function withdrawDeposit(uint256 i, uint256 j) public {
        address payer = vm.addr(payerKeys[i % 2]);
        (uint128 amount, uint128 thawing, uint64 at) = escrow.balances(payer, hosts[j % 2]);
        uint256 before = payer.balance;
        vm.prank(payer);
        try escrow.withdraw(hosts[j % 2]) {
            left(payer, before, thawing < amount ? thawing : amount);
            if (block.timestamp < at) robbed++;
            calls["withdraw"]++;
        } catch {
            if (at != 0 && block.timestamp >= at) stuck++;
        }
    }

    function redeem(uint256 i, uint256 j, uint96 x) public {
        address payer = vm.addr(payerKeys[i % 2]);
        address host = hosts[j % 2];
        bytes32 adapter = x % 3 == 0 ? OTHER_ADAPTER : ADAPTER;
        (uint128 balance,,) = escrow.balances(payer, host);
        if (balance == 0) return;
        uint128 amount = uint128(bound(x, 1, balance));
        uint128 was = escrow.redeemed(payer, host, adapter);
        InferenceEscrow.Voucher[] memory vs = one(voucher(payerKeys[i % 2], payer, host, adapter, was + amount));
        try escrow.redeem(vs) {
            promised += (uint256(amount) * 5_000) / 10_000;
            calls["redeem"]++;
        } catch {
            stuck++;
        }
        try escrow.redeem(vs) {
            replayed++;
        } catch {}
    }

    function claimEarned(uint256 i) public {
        address who = everybody[i % everybody.length];
        uint256 due = escrow.earned(who);
        uint256 before = who.balance;
        vm.prank(who);
        try escrow.claimEarned(who) {
            left(who, before, due);
        } catch {
            if (due != 0) stuck++;
        }
        vm.prank(who);
        try escrow.claimEarned(who) {
            replayed++;
        } catch {}
    }

    function collectFees() public {
        models.collectFees();
        moneyIn -= fees;
        fees = 0;
    }

    // ------------------------------------------------------------ rewards

    function newRoot(uint256 seed) public {
        uint256 room = pool.funded() - pool.allocated();
        for (uint256 k = 0; k < 8; ++k) {
            uint256 x = bound(uint256(keccak256(abi.encode(seed, k))), 0, room / 8);
            cumulative[k] += uint128(x);
        }
        (bytes32 root, uint128 total) = rootOf(cumulative);
        pool.setRoot(root, total);
        calls["root"]++;
    }

    function badRoot(uint96 x) public {
        uint128 funded = pool.funded();
        uint128 allocated = pool.allocated();
        try pool.setRoot("over", funded + uint128(bound(x, 1, 1e24))) {
            robbed++;
        } catch {}
        if (allocated == 0) return;
        try pool.setRoot("under", allocated - uint128(bound(x, 1, allocated))) {
            robbed++;
        } catch {}
    }

    /// Leaves worth more than was announced: none of them opens.
    function lyingRoot(uint96 x, uint256 k) public {
        uint128[8] memory lie = cumulative;
        lie[k % 8] += uint128(bound(x, 1, 1e24));
        (bytes32 root,) = rootOf(lie);
        bytes32 honest = pool.root();
        uint128 allocated = pool.allocated();
        pool.setRoot(root, allocated);
        RewardPool.Claim[] memory cs = new RewardPool.Claim[](1);
        for (uint32 i = 0; i < 8; ++i) {
            cs[0] = claimOf(lie, i);
            try pool.claim(cs) {
                robbed++;
            } catch {}
        }
        pool.setRoot(honest, allocated);
    }

    function claim(uint256 k) public {
        uint32 id = uint32(k % 8);
        address payout = pool.payoutOf(id);
        uint256 due = cumulative[id] - pool.claimed(id);
        RewardPool.Claim[] memory cs = new RewardPool.Claim[](1);
        cs[0] = claimOf(cumulative, id);
        uint256 before = payout.balance;
        uint256 credited = pool.credit(payout);
        try pool.claim(cs) {
            credited = pool.credit(payout) - credited;
            left(payout, before, due - credited);
            if (credited != 0 && id != 7) stuck++; // only the moody one ever rejects
            calls["claim"]++;
        } catch {
            if (due != 0) stuck++;
        }
        try pool.claim(cs) {
            replayed++;
        } catch {}
    }

    function turnMood() public {
        moody.turn();
    }

    function collectMoody() public {
        uint256 due = pool.credit(address(moody));
        uint256 before = address(0xFEED).balance;
        try moody.collect(pool, address(0xFEED)) {
            left(address(0xFEED), before, due);
        } catch {
            if (due != 0) stuck++;
        }
    }

    // ------------------------------------------------------------ guided paths

    function warp(uint32 dt) public {
        vm.warp(block.timestamp + bound(dt, 1, 3 days));
    }

    function payday(uint256 i, uint96 x, uint256 seed) public {
        deposit(i, seed, 50 ether - 1);
        redeem(i, seed, x);
        newRoot(seed);
        claim(seed >> 8);
        claim(seed >> 16);
        claimRewards(seed >> 24);
    }

    function exitStake(uint256 i, uint96 x) public {
        stake(i, x);
        unbond(i, type(uint96).max);
        vm.warp(block.timestamp + 21 days);
        withdraw(i);
    }

    function exitEscrow(uint256 i, uint256 j, uint96 x) public {
        deposit(i, j, x);
        thaw(i, j, type(uint96).max);
        redeem(i, j, x);
        vm.warp(block.timestamp + 1 days);
        withdrawDeposit(i, j);
    }

    function exitNode(uint256 j, bool guilty) public {
        registerHost(j);
        leave(j);
        if (guilty) equivocate(j, j);
        vm.warp(block.timestamp + 21 days);
        release(j);
    }

    function bonds(uint256 i, uint256 j, uint96 x, bool guilty) public {
        stake(i, 200 ether);
        lock(i, x);
        registerHost(j);
        payday(j, x, i);
        if (guilty) slash(i, j, x);
        else unlock(i, x);
    }

    // ------------------------------------------------------------ sums

    function left(address who, uint256 before, uint256 due) internal {
        if (who.balance - before != due) robbed++;
        moneyIn -= who.balance - before;
    }

    function vaultSums() external view returns (uint256 all, uint256 earning, uint256 scaled, uint256 credit) {
        for (uint256 i = 0; i < everybody.length; ++i) {
            address who = everybody[i];
            (uint128 free, uint128 locked, uint128 unbonding,) = vault.accounts(who);
            all += uint256(free) + locked + unbonding;
            earning += uint256(free) + locked;
            (uint256 perStake, uint256 had) = vault.earnings(who);
            scaled += had + (uint256(free) + locked) * (vault.perStake() - perStake);
            credit += vault.credit(who);
        }
    }

    /// What all modules have locked, account by account, and whether it is what the accounts say.
    function locksAgree() external view returns (bool) {
        for (uint256 i = 0; i < everybody.length; ++i) {
            address who = everybody[i];
            (, uint128 locked,,) = vault.accounts(who);
            uint256 bond = nodes.nodeOf(who).bond;
            if (vault.lockedBy(address(nodes), who) != bond) return false;
            if (vault.lockedBy(address(this), who) + bond != locked) return false;
        }
        return true;
    }

    function escrowSums() external view returns (uint256 deposits, uint256 earned) {
        for (uint256 i = 0; i < 4; ++i) {
            (uint128 amount,,) = escrow.balances(vm.addr(payerKeys[i / 2]), hosts[i % 2]);
            deposits += amount;
        }
        for (uint256 i = 0; i < everybody.length; ++i) {
            earned += escrow.earned(everybody[i]);
        }
    }

    function claimedSum() external view returns (uint256 s) {
        for (uint32 k = 0; k < 8; ++k) {
            s += pool.claimed(k);
        }
    }

    function parts() external view returns (Parts memory) {
        return Parts(address(vault), address(pool), address(escrow), address(models), address(nodes));
    }

    struct Parts {
        address vault;
        address pool;
        address escrow;
        address models;
        address nodes;
    }
}
