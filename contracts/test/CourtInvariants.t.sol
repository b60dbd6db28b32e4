// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Answer, Batch, Header, Status} from "../src/Batches.sol";
import {Demands} from "../src/Demands.sol";
import {Merkle} from "../src/Merkle.sol";
import {Court} from "./Court.t.sol";

/// Random posters, honest and not, of chains of batches; demanders, challengers, objectors. Counts what must never
/// happen: `framed` (an honest batch was convicted), `escaped` (a lie could not be), `stuck` (what is due could not be
/// done), `replayed` (what is not due was).
contract CourtHandler is Court {
    struct Told {
        Answer answer;
        uint128 value; // of its entry
        uint128 excess; // 0: it is honest
        uint128[8] next; // totals after it
        uint256 bond;
    }

    uint256 constant STAKE = 100_000 ether; // of the poster
    uint128[8] cumulative; // under the pool's root
    uint128 paid; // vouchers spent by final batches
    uint256[] live; // the batches that pend, in order
    mapping(uint256 id => Told) told;
    mapping(uint256 id => Status) fate; // of those that pend no more
    uint256 finalId;
    uint256 slashed; // wei, of the poster's
    uint256[] objected; // died by objection, bond not yet released
    uint256 public framed;
    uint256 public escaped;
    uint256 public stuck;
    uint256 public replayed;
    mapping(bytes32 => uint256) public calls;

    constructor() {
        vm.deal(address(this), 1e6 ether); // the fees of the registrations
        convene();
        vm.deal(CHALLENGER, 1e6 ether);
        for (uint160 i = 1; i <= 3; ++i) {
            vm.deal(address(i), 100 ether);
            vm.prank(address(i));
            nodes.register{value: 100 ether}(2, abi.encode(i), "");
        }
        vm.warp(block.timestamp + 1);
    }

    function newestTotals() internal view returns (uint128[8] memory) {
        return live.length == 0 ? cumulative : told[live[live.length - 1]].next;
    }

    function spent() internal view returns (uint128) {
        return live.length == 0 ? paid : told[live[live.length - 1]].answer.receipt.cumulative;
    }

    function dueBond(uint256 total) internal view returns (uint256) {
        uint256 least = live.length < 8 ? 100 ether : 100 ether << (live.length - 7);
        return total > least ? total : least;
    }

    function postBatch(uint128 amount, uint128 lie) external {
        if (spent() + 2 ether > 10_000 ether) return;
        amount = uint128(bound(amount, 1 ether, lie % 4 == 3 ? 10_000 ether - spent() : 2 ether));
        Told memory t;
        t.excess = lie % 2 == 0 ? 0 : uint128(bound(lie, 1, 1 ether));
        Lie memory why;
        why.remainder = t.excess;
        t.answer = answerOf(amount, spent() + amount, why);
        Header memory h = headerOf(t.answer, newestTotals(), why);
        (t.value, t.next) = (h.total, afterwards(newestTotals(), h.total, 0));
        t.bond = dueBond(h.total);
        uint256 sum;
        for (uint256 i = 0; i < 8; ++i) sum += t.next[i];
        (uint128 free,,,) = vault.accounts(POSTER);
        bool due = live.length < 16 && free >= t.bond && sum <= pool.funded();
        (uint256 next, bytes32 parent) = (uint256(oracle.batchCount()) + 1, newestRoot());
        h.asOf = uint64(block.timestamp - 1);
        vm.prank(POSTER);
        try oracle.post(next, 1, parent, h, "") returns (uint256 id) {
            if (!due) replayed++;
            told[id] = t;
            live.push(id);
            calls["post"]++;
            if (live.length > 2) calls["deep"]++;
        } catch {
            if (due) stuck++;
        }
    }

    function several(uint8 count, uint128 amount) external {
        for (uint8 i = 0; i < count % 6; ++i) this.postBatch(amount, i == 1 ? amount : 0);
    }

    /// The batch at place `at` died, and took along those after it.
    function died(uint256 at, Status how) internal {
        while (live.length > at) {
            uint256 id = live[live.length - 1];
            fate[id] = live.length == at + 1 ? how : Status.Voided;
            live.pop();
            calls["died"]++;
        }
    }

    function convict(uint256 which) external {
        if (live.length == 0) return;
        uint256 at = which % live.length;
        uint256 id = live[at];
        if (block.timestamp >= oracle.batchOf(id).deadline) return;
        Told memory t = told[id];
        vm.prank(CHALLENGER);
        try sums.refuteRemainder(id, opened(t.answer), entryOpening(t.value, 0), noClaim(), noInfluence()) {
            if (t.excess == 0) framed++;
            slashed += t.bond;
            died(at, Status.Slashed);
            try sums.refuteRemainder(id, opened(t.answer), entryOpening(t.value, 0), noClaim(), noInfluence()) {
                replayed++;
            } catch {}
        } catch {
            if (t.excess != 0) escaped++;
        }
    }

    function frame(uint256 which) external {
        if (live.length == 0) return;
        uint256 at = which % live.length;
        Told memory t = told[live[at]];
        uint128[8] memory old = at == 0 ? cumulative : told[live[at - 1]].next;
        try sums.refuteTransition(live[at], 0, totalOf(old, 0), subtotalOf(t.value), totalOf(t.next, 0)) {
            framed++;
        } catch {}
    }

    function objectTo(uint256 which, uint160 who) external {
        if (live.length == 0) return;
        uint256 at = which % live.length;
        uint256 id = live[at];
        who = uint160(bound(who, 1, 4)); // the fourth is nobody
        bool due = who < 4 && block.timestamp < oracle.batchOf(id).deadline && !oracle.hasObjected(id, address(who));
        vm.prank(address(who));
        try oracle.object(id) {
            if (!due) replayed++;
            if (oracle.objected(id) > 150 ether) {
                died(at, Status.Voided);
                objected.push(id);
                calls["objected"]++;
            }
        } catch {
            if (due) stuck++;
        }
    }

    function tree(bool body) internal pure returns (uint8) {
        return body ? Merkle.BODY : Merkle.ANSWER;
    }

    function demandLeaf(uint256 which, bool body) external {
        if (live.length == 0) return;
        uint256 id = live[which % live.length];
        bool open = block.timestamp + 6 hours <= oracle.batchOf(id).deadline
            && oracle.demandOf(id, tree(body), 0).by == address(0);
        vm.prank(CHALLENGER);
        try oracle.demand{value: 1 ether}(id, tree(body), 0) {
            if (!open) replayed++;
        } catch {
            if (open) stuck++;
        }
    }

    function answerLeaf(uint256 which, bool body) external {
        uint256 id = bound(which, 0, oracle.batchCount());
        bool open = statusOf(id) == Status.Pending && oracle.demandOf(id, tree(body), 0).until != 0;
        bytes memory leaf = body ? bytes("body") : abi.encode(told[id].answer);
        vm.prank(POSTER);
        try oracle.answerDemand(id, tree(body), 0, leaf, new bytes32[](0)) {
            if (!open) replayed++;
        } catch {
            if (open) stuck++;
        }
    }

    function claimLeaf(uint256 which, bool body) external {
        if (live.length == 0) return;
        uint256 at = which % live.length;
        uint256 id = live[at];
        Demands.Demand memory d = oracle.demandOf(id, tree(body), 0);
        bool due = d.until != 0 && block.timestamp >= d.until;
        try oracle.claimUnanswered(id, tree(body), 0) {
            if (!due) replayed++;
            slashed += told[id].bond;
            died(at, Status.Slashed);
        } catch {
            if (due) stuck++;
        }
    }

    function refundLeaf(bool body, uint256 which) external {
        uint256 id = bound(which, 0, oracle.batchCount());
        Demands.Demand memory d = oracle.demandOf(id, tree(body), 0);
        bool due = (fate[id] == Status.Slashed || fate[id] == Status.Voided) && d.until != 0;
        try oracle.refundDemand(id, tree(body), 0) {
            if (!due) replayed++;
        } catch {
            if (due) stuck++;
        }
    }

    function collect(bool poster) external {
        address who = poster ? POSTER : CHALLENGER;
        uint256 due = oracle.credit(who);
        vm.prank(who);
        try oracle.claimCredit(who) {
            if (due == 0) replayed++;
        } catch {
            if (due != 0) stuck++;
        }
    }

    function settle(uint256 which) public {
        if (live.length == 0) return;
        uint256 at = which % live.length;
        uint256 id = live[at];
        bool due =
            at == 0 && block.timestamp >= oracle.batchOf(id).deadline && oracle.openDemands(id) == 0;
        try oracle.finalize(id) {
            if (!due) replayed++;
            (cumulative, paid, finalId) = (told[id].next, told[id].answer.receipt.cumulative, id);
            fate[id] = Status.Final;
            for (uint256 i = 1; i < live.length; ++i) live[i - 1] = live[i];
            live.pop();
            calls["final"]++;
        } catch {
            if (due) stuck++;
        }
    }

    function release(uint256 which, bool later) external {
        if (objected.length == 0) return;
        if (later) vm.warp(block.timestamp + 7 days);
        which %= objected.length;
        uint256 id = objected[which];
        bool due = block.timestamp >= oracle.batchOf(id).postedAt + 21 days;
        try oracle.release(id) {
            if (!due) replayed++;
            objected[which] = objected[objected.length - 1];
            objected.pop();
            calls["released"]++;
            try oracle.release(id) {
                replayed++;
            } catch {}
        } catch {
            if (due) stuck++;
        }
    }

    function settleAll() external {
        for (uint256 i = live.length; i != 0; --i) settle(0);
    }

    function pass(uint32 time) external {
        vm.warp(block.timestamp + bound(time, 1, 10 hours));
    }

    // ------------------------------------------------------------ what the invariants ask

    function owed() external view returns (uint256) {
        return oracle.totalCredit() + oracle.totalDemandBonds();
    }

    function held() external view returns (uint256) {
        return address(oracle).balance;
    }

    function credits() external view returns (uint256) {
        return oracle.credit(POSTER) + oracle.credit(CHALLENGER);
    }

    function totalCredit() external view returns (uint256) {
        return oracle.totalCredit();
    }

    /// (locked, what the pending batches promise together; all the poster's stake, what it should be)
    function bonds() external view returns (uint256 locked, uint256 sum, uint256 stake, uint256 left) {
        uint256 free;
        (free, locked,,) = vault.accounts(POSTER);
        for (uint256 i = 0; i < live.length; ++i) {
            sum += told[live[i]].bond;
            require(oracle.batchOf(live[i]).bond == told[live[i]].bond, "another bond");
        }
        for (uint256 i = 0; i < objected.length; ++i) sum += told[objected[i]].bond;
        (stake, left) = (free + locked, STAKE - slashed);
    }

    function pooled() external view returns (bytes32 root, uint256 allocated, uint256 sum) {
        (root, allocated) = (pool.root(), pool.allocated());
        for (uint256 i = 0; i < 8; ++i) sum += cumulative[i];
    }

    /// What all pending batches together would allocate, and what there is.
    function promised() external view returns (uint256 sum, uint256 funded) {
        uint128[8] memory all = newestTotals();
        for (uint256 i = 0; i < 8; ++i) sum += all[i];
        funded = pool.funded();
    }

    function expectedRoot() external view returns (bytes32 root) {
        (root,) = rootOf(cumulative);
    }

    /// The oracle's chain is the model's: links, roots, what is dead.
    function chained() external view returns (bool) {
        uint256 before = finalId;
        for (uint256 i = 0; i < live.length; ++i) {
            Batch memory b = oracle.batchOf(live[i]);
            if (b.status != Status.Pending || b.parent != before) return false;
            if (before != 0 && b.oldRoot != oracle.batchOf(before).header.totalsRoot) return false;
            before = live[i];
        }
        for (uint256 id = 1; id <= oracle.batchCount(); ++id) {
            if (fate[id] != Status.None && statusOf(id) != fate[id]) return false;
        }
        return oracle.newest() == before && oracle.newestFinal() == finalId && oracle.pendingCount() == live.length;
    }
}

contract CourtInvariantsTest {
    CourtHandler handler;

    function setUp() public {
        handler = new CourtHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    function invariant_noHonestBatchIsConvictedAndNoLieEscapes() public view {
        require(handler.framed() == 0, "framed");
        require(handler.escaped() == 0, "escaped");
    }

    function invariant_whatIsDueCanBeDoneOnce() public view {
        require(handler.stuck() == 0, "stuck");
        require(handler.replayed() == 0, "replayed");
    }

    function invariant_theOracleHoldsWhatItOwes() public view {
        require(handler.held() == handler.owed(), "owed");
        require(handler.totalCredit() == handler.credits(), "credits");
    }

    function invariant_theBondsOfPendingBatchesAreLockedAndNoOthers() public view {
        (uint256 locked, uint256 promised, uint256 stake, uint256 left) = handler.bonds();
        require(locked == promised, "locked");
        require(stake == left, "only the guilty lose");
    }

    function invariant_theChainIsTheModels() public view {
        require(handler.chained(), "chain");
    }

    function invariant_thePoolFollowsFinalBatches() public view {
        (bytes32 root, uint256 allocated, uint256 sum) = handler.pooled();
        require(allocated == sum, "allocated");
        require(root == bytes32(0) || root == handler.expectedRoot(), "root");
        (uint256 promised, uint256 funded) = handler.promised();
        require(promised <= funded, "promised");
    }
}
