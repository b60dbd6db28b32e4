// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Answer, Batch, Header, Status} from "../src/Batches.sol";
import {Demands} from "../src/Demands.sol";
import {Merkle} from "../src/Merkle.sol";
import {Court} from "./Court.t.sol";

/// Random posters, honest and not, demanders and challengers. Counts what must never happen: `framed` (an honest batch
/// was convicted), `escaped` (a lie could not be), `stuck` (what is due could not be done), `replayed` (twice worked).
contract CourtHandler is Court {
    uint128[8] cumulative; // under the pool's root
    uint128[8] next; // under the pending batch
    Answer answer; // of the pending batch
    uint128 value; // of its entry
    uint128 public excess; // 0: it is honest
    uint128 paid; // vouchers spent by final batches
    uint64[] demandedAt; // body leaf 0 or answer leaf 0 of the pending batch
    uint256 public framed;
    uint256 public escaped;
    uint256 public stuck;
    uint256 public replayed;

    constructor() {
        vm.deal(address(this), 1e6 ether); // the fees of the registrations
        convene();
        vm.deal(CHALLENGER, 1e6 ether);
    }

    function pending() public view returns (uint256 id, Batch memory b) {
        id = oracle.batchCount();
        b = oracle.batchOf(id);
    }

    function refutable() internal view returns (bool) {
        (, Batch memory b) = pending();
        return b.status == Status.Pending && block.timestamp < b.deadline;
    }

    function postBatch(uint128 amount, uint128 lie) external {
        (, Batch memory b) = pending();
        if (b.status == Status.Pending || paid + 2 ether > 10_000 ether) return;
        amount = uint128(bound(amount, 1 ether, 10_000 ether - paid));
        Lie memory told;
        told.remainder = lie % 2 == 0 ? 0 : uint128(bound(lie, 1, 1 ether));
        Answer memory a = answerOf(amount, paid + amount, told);
        Header memory h = headerOf(a, cumulative, told);
        if (uint256(pool.allocated()) + h.total > pool.funded()) return;
        (uint128 free,,,) = vault.accounts(POSTER);
        if (free < 10_000 ether) return;
        post(h);
        answer = a;
        value = h.total;
        excess = told.remainder;
        next = afterwards(cumulative, h.total, 0);
    }

    function convict() external {
        if (!refutable()) return;
        (uint256 id,) = pending();
        vm.prank(CHALLENGER);
        try sums.refuteRemainder(id, opened(answer), noClaim(), entryOpening(value, 0)) {
            if (excess == 0) framed++;
            try sums.refuteRemainder(id, opened(answer), noClaim(), entryOpening(value, 0)) {
                replayed++;
            } catch {}
        } catch {
            if (excess != 0) escaped++;
        }
    }

    function frame() external {
        if (!refutable() || excess != 0) return;
        (uint256 id,) = pending();
        uint128[8] memory after_ = next;
        try sums.refuteTransition(id, 0, totalOf(cumulative, 0), subtotalOf(value), totalOf(after_, 0)) {
            framed++;
        } catch {}
    }

    function tree(bool body) internal pure returns (uint8) {
        return body ? Merkle.BODY : Merkle.ANSWER;
    }

    function demandLeaf(bool body) external {
        (uint256 id, Batch memory b) = pending();
        if (b.status != Status.Pending) return;
        bool open = block.timestamp + 6 hours <= b.deadline && oracle.demandOf(id, tree(body), 0).by == address(0);
        vm.prank(CHALLENGER);
        try oracle.demand{value: 1 ether}(id, tree(body), 0) {
            if (!open) replayed++;
        } catch {
            if (open) stuck++;
        }
    }

    function answerLeaf(bool body) external {
        (uint256 id, Batch memory b) = pending();
        bool open = b.status == Status.Pending && oracle.demandOf(id, tree(body), 0).until != 0;
        bytes memory leaf = body ? bytes("body") : abi.encode(answer);
        vm.prank(POSTER);
        try oracle.answerDemand(id, tree(body), 0, leaf, new bytes32[](0)) {
            if (!open) replayed++;
        } catch {
            if (open) stuck++;
        }
    }

    function claimLeaf(bool body) external {
        (uint256 id, Batch memory b) = pending();
        Demands.Demand memory d = oracle.demandOf(id, tree(body), 0);
        bool due = b.status == Status.Pending && d.until != 0 && block.timestamp >= d.until;
        try oracle.claimUnanswered(id, tree(body), 0) {
            if (!due) replayed++;
        } catch {
            if (due) stuck++;
        }
    }

    function refundLeaf(bool body, uint256 which) external {
        uint256 id = bound(which, 0, oracle.batchCount());
        Demands.Demand memory d = oracle.demandOf(id, tree(body), 0);
        bool due = oracle.batchOf(id).status == Status.Slashed && d.until != 0;
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

    function settle() external {
        (uint256 id, Batch memory b) = pending();
        bool due =
            b.status == Status.Pending && block.timestamp >= b.deadline && oracle.openDemands(id) == 0;
        try oracle.finalize(id) {
            if (!due) replayed++;
            cumulative = next;
            paid = answer.receipt.cumulative;
        } catch {
            if (due) stuck++;
        }
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

    function locked() external view returns (uint256 amount) {
        (, amount,,) = vault.accounts(POSTER);
    }

    function promised() external view returns (uint256) {
        (, Batch memory b) = pending();
        return b.status == Status.Pending ? b.bond : 0;
    }

    function pooled() external view returns (bytes32 root, uint256 allocated, uint256 sum) {
        (root, allocated) = (pool.root(), pool.allocated());
        for (uint256 i = 0; i < 8; ++i) sum += cumulative[i];
    }

    function expectedRoot() external view returns (bytes32 root) {
        (root,) = rootOf(cumulative);
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

    function invariant_theBondOfAPendingBatchIsLocked() public view {
        require(handler.locked() == handler.promised(), "bond");
    }

    function invariant_thePoolFollowsFinalBatches() public view {
        (bytes32 root, uint256 allocated, uint256 sum) = handler.pooled();
        require(allocated == sum, "allocated");
        require(root == bytes32(0) || root == handler.expectedRoot(), "root");
    }
}
