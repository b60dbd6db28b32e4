// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {
    Answer,
    AnswerOpening,
    Claim,
    ClaimOpening,
    DocumentOpening,
    Header,
    Holder,
    Kind,
    NONE,
    Status
} from "../src/Batches.sol";
import {ICorpora} from "../src/interfaces/ICorpora.sol";
import {Merkle} from "../src/Merkle.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {SpanRefutations} from "../src/SpanRefutations.sol";
import {Takedowns} from "../src/Takedowns.sol";
import {TextOpening} from "../src/Text.sol";
import {Court} from "./Court.t.sol";
import {Packing} from "./Packing.t.sol";
import {Texts} from "./Text.t.sol";

/// One claim in trees of full size: a shard of 2^30 bytes and 2^20 documents, 200,000 claims, 10,000 answers, of which all
/// but the leaves that matter is made up. So the gas is that of the worst case.
contract SpansTest is Court, Texts {
    bytes32 constant MODEL = keccak256("spanned adapter");
    address constant CURATOR = address(0xC0DE);
    uint256 constant SHARD = 1 << 30; // bytes
    uint256 constant DEPTH_TEXT = 22;
    uint256 constant DEPTH_TABLE = 20;
    uint256 constant DEPTH_CLAIMS = 18;
    uint256 constant DEPTH_ANSWERS = 14;
    uint32 constant OUTPUT = 24 * 1024; // bytes
    uint256 constant DEPTH_OUTPUT = 7;
    uint32 constant START = 300; // of the span, in the output
    uint32 constant LENGTH = 255; // the corpus and the output agree on one byte more
    uint32 constant CLAIM = 10; // its number; the next one is of the same answer
    uint32 constant ANSWER = 5;
    uint32 constant DOCUMENT = 77;

    SpanRefutations refutations;
    Takedowns takedowns;
    address author = address(0xA002);
    uint64 position; // of the span, in the shard
    bytes span; // LENGTH + 1 bytes that both texts hold
    bytes inOutput; // leaves
    bytes inCorpus;
    bytes row;
    Answer answer;
    Claim claim;
    Claim next;
    TextOpening output;
    TextOpening corpus;
    DocumentOpening document;

    function setUp() public {
        convene();
        pool.register(address(0xA001));
        pool.register(author);
        takedowns = new Takedowns(registry, pool);
        refutations = new SpanRefutations(oracle, ICorpora(address(models)), registry, takedowns);
        authority.grantRole(4, address(refutations), 0);
        vm.deal(CURATOR, 10_000 ether);
        vm.startPrank(CURATOR);
        vault.stake{value: 5_000 ether}(CURATOR);
        registry.create{value: 1 ether}("letters");
        vm.stopPrank();
        ModelRegistry.AdapterInfo memory model = info(MODEL, "spanned", 5_000);
        model.shardCount = 1;
        vm.deal(OWNER, 1 ether);
        vm.prank(OWNER);
        models.registerAdapter{value: 1 ether}(model);
        place((1 << 21) * 256 + 256 - 128); // two leaves of one parent
        honest();
    }

    /// Both texts hold the span, the corpus at `at`.
    function place(uint256 at) internal {
        position = uint64(at);
        span = new bytes(LENGTH + 1);
        for (uint256 i = 0; i < span.length; ++i) span[i] = bytes1(uint8(0x61 + uint256(keccak256(abi.encode(i))) % 26));
        inOutput = laid(START);
        inCorpus = laid(at);
    }

    /// Two leaves with the span at its place in them, spaces around.
    function laid(uint256 at) internal view returns (bytes memory data) {
        data = new bytes(512);
        for (uint256 i = 0; i < 512; ++i) data[i] = " ";
        for (uint256 i = 0; i < span.length; ++i) data[(at & 255) + i] = span[i];
    }

    function honest() internal {
        Lie memory none;
        answer = answerOf(FEE, FEE, none);
        (answer.receipt.adapter, answer.receipt.outputSize) = (MODEL, OUTPUT);
        (answer.firstClaim, answer.claimCount) = (CLAIM, 2);
        (claim.answer, claim.start, claim.length, claim.holders) = (ANSWER, START, LENGTH + 1, 1);
        claim.who[0] = Holder(0, position, DOCUMENT, 2, 0);
        (next.answer, next.start, next.length, next.holders) = (ANSWER, START + 400, 40, 1);
        row = documentRow(position - 10, 1_000, 2);
    }

    function documentRow(uint64 start, uint64 length, uint32 contributor) internal pure returns (bytes memory) {
        return abi.encodePacked(
            start, length, contributor, uint64(0), bytes32("root"), bytes32("terms"), bytes32(0), bytes32(0), uint8(27)
        );
    }

    function fold(bytes32 hash, uint256 index, uint256 depth, uint256 salt, bool sha)
        internal
        pure
        returns (bytes32, bytes32[] memory proof)
    {
        proof = new bytes32[](depth);
        for (uint256 i = 0; i < depth; (++i, index >>= 1)) {
            proof[i] = drawn(salt, i);
            (bytes32 l, bytes32 r) = index & 1 == 0 ? (hash, proof[i]) : (proof[i], hash);
            hash = sha ? nodeHash(l, r) : keccak256(abi.encodePacked(uint8(1), l, r));
        }
        return (hash, proof);
    }

    function leafOf(Claim memory c) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), Merkle.CLAIM, abi.encode(c)));
    }

    /// Publishes the shard, final, and posts the batch.
    function posted() internal returns (uint256) {
        bytes32 textRoot;
        (textRoot, corpus) = deep(inCorpus, position / 256, DEPTH_TEXT, 1);
        (bytes32 table, bytes32[] memory proof) =
            fold(sha256(abi.encodePacked(uint8(0), Merkle.DOCUMENT, row)), DOCUMENT, DEPTH_TABLE, 2, true);
        document = DocumentOpening(DOCUMENT, row, proof);
        vm.prank(CURATOR);
        registry.publish(1, textRoot, table, uint64(SHARD), 1 << 20);
        vm.warp(block.timestamp + 1 days);
        registry.finalize(1, 0);
        return postBatch();
    }

    function postBatch() internal returns (uint256) {
        Header memory h;
        (answer.receipt.outputRoot, output) = deep(inOutput, START / 256, DEPTH_OUTPUT, 3);
        (h.answersRoot,) = fold(
            keccak256(abi.encodePacked(uint8(0), Merkle.ANSWER, abi.encode(answer))), ANSWER, DEPTH_ANSWERS, 4, false
        );
        bytes32 pair = keccak256(abi.encodePacked(uint8(1), leafOf(claim), leafOf(next)));
        (h.claimsRoot,) = fold(pair, CLAIM >> 1, DEPTH_CLAIMS - 1, 5, false);
        (h.influencesRoot, h.entriesRoot, h.totalsRoot, h.dataRoot) = ("i", "e", "t", "d");
        (h.dataSize, h.answerCount, h.claimCount) = (1, 10_000, 200_000);
        return post(h);
    }

    function shownAnswer() internal view returns (AnswerOpening memory) {
        Answer memory a = answer;
        (, bytes32[] memory proof) = fold(0, ANSWER, DEPTH_ANSWERS, 4, false);
        return AnswerOpening(ANSWER, Packing.packed(a), proof);
    }

    function shown(bool first) internal view returns (ClaimOpening memory) {
        Claim memory c = first ? claim : next;
        (, bytes32[] memory above) = fold(0, CLAIM >> 1, DEPTH_CLAIMS - 1, 5, false);
        bytes32[] memory proof = new bytes32[](DEPTH_CLAIMS);
        proof[0] = leafOf(first ? next : claim);
        for (uint256 i = 1; i < DEPTH_CLAIMS; ++i) proof[i] = above[i - 1];
        return ClaimOpening(first ? CLAIM : CLAIM + 1, Packing.packed(c), proof);
    }

    // ------------------------------------------------------------ calls

    function mismatch(uint256 id) internal view returns (bytes memory) {
        return abi.encodeCall(refutations.refuteMismatch, (id, shown(true), shownAnswer(), 0, output, corpus));
    }

    function longer(uint256 id) internal view returns (bytes memory) {
        return abi.encodeCall(
            refutations.refuteLonger, (id, shown(true), shownAnswer(), 0, position, document, output, corpus)
        );
    }

    function earlier(uint256 id) internal view returns (bytes memory) {
        return abi.encodeCall(
            refutations.refuteEarlier, (id, shown(true), shownAnswer(), 0, position, document, output, corpus)
        );
    }

    function omitted(uint256 id, ClaimOpening memory before, ClaimOpening memory after_)
        internal
        view
        returns (bytes memory)
    {
        SpanRefutations.Gap memory gap = SpanRefutations.Gap(START, LENGTH + 1, 0, position);
        return abi.encodeCall(
            refutations.refuteOmitted, (id, shownAnswer(), before, after_, gap, document, output, corpus)
        );
    }

    function contributor(uint256 id) internal view returns (bytes memory) {
        return abi.encodeCall(refutations.refuteContributor, (id, shown(true), shownAnswer(), 0, document));
    }

    function takenDown(uint256 id) internal view returns (bytes memory) {
        return abi.encodeCall(refutations.refuteTakenDown, (id, shown(true), shownAnswer(), 0));
    }

    function refused(bytes memory call) internal {
        (bool ok,) = address(refutations).call(call);
        require(!ok, "an honest batch was convicted");
    }

    function convicts(uint256 id, bytes memory call) internal {
        (bool ok,) = address(refutations).call(call);
        require(ok, "a lie stands");
        require(statusOf(id) == Status.Slashed, "not slashed");
    }

    // ------------------------------------------------------------ laws

    function test_anHonestClaimStands() public {
        uint256 id = posted();
        refused(mismatch(id));
        refused(longer(id)); // its length is the greatest
        refused(earlier(id));
        refused(contributor(id));
        refused(takenDown(id));
        refused(omitted(id, shown(true), shown(false)));
        refused(omitted(id, noClaim(), shown(true)));
        refused(omitted(id, noClaim(), shown(false)));
        refused(omitted(id, shown(false), noClaim()));
        refused(omitted(id, noClaim(), noClaim()));
    }

    function testFuzz_aByteThatDiffersIsAMismatch(uint256 at) public {
        at = bound(at, 0, LENGTH);
        inCorpus[(position & 255) + at] ^= 0x01;
        uint256 id = posted();
        convicts(id, mismatch(id));
    }

    function test_aHolderOutsideTheCorpusIsAMismatch() public {
        claim.who[0].shard = 1;
        uint256 id = posted();
        convicts(id, mismatch(id));
    }

    function test_aHolderBeyondItsShardIsAMismatch() public {
        claim.who[0].position = uint64(SHARD - LENGTH);
        uint256 id = posted();
        convicts(id, mismatch(id));
    }

    function test_aSpanThatStartsInAWordIsAMismatch() public {
        inOutput[START - 257] = "a";
        uint256 id = posted();
        convicts(id, mismatch(id));
    }

    function test_aPlaceInsideAWordIsAMismatch() public {
        inCorpus[(position & 255) - 1] = "a";
        uint256 id = posted();
        convicts(id, mismatch(id));
    }

    function test_aSpanAcrossDocumentsIsAMismatch() public {
        inOutput[(START & 255) + 7] = 0xff;
        inCorpus[(position & 255) + 7] = 0xff;
        uint256 id = posted();
        convicts(id, mismatch(id));
    }

    function test_oneByteMoreIsLonger() public {
        claim.length = LENGTH;
        uint256 id = posted();
        refused(mismatch(id));
        convicts(id, longer(id));
    }

    function test_oneByteMoreInsideAWordIsNotLonger() public {
        claim.length = LENGTH;
        inCorpus[(position & 255) - 1] = "a";
        uint256 id = posted();
        refused(longer(id));
    }

    function test_whoHoldsItBeforeOthersIsEarlier() public {
        claim.who[0] = Holder(0, position + 5_000, 1, 3, 0);
        uint256 id = posted();
        convicts(id, earlier(id));
    }

    function test_whoIsListedByALaterPlaceIsEarlier() public {
        claim.who[0].position = position + 5_000;
        uint256 id = posted();
        convicts(id, earlier(id));
    }

    function test_whoComesAfterAllIsEarlierWhileThereIsRoom() public {
        claim.who[0] = Holder(0, 5, 1, 3, 0);
        uint256 id = posted();
        convicts(id, earlier(id));
    }

    function test_whoComesAfterAllOfAFullListIsNotEarlier() public {
        for (uint32 i = 0; i < 4; ++i) claim.who[i] = Holder(0, 5 + i, 1, 3 + i, 0);
        claim.holders = 4;
        uint256 id = posted();
        refused(earlier(id));
    }

    function test_whoIsListedByAnEarlierPlaceIsNotEarlier() public {
        claim.who[0].position = 5;
        uint256 id = posted();
        refused(earlier(id));
    }

    function test_whatHasNoClaimIsOmitted() public {
        (claim.start, claim.length) = (START - 50, 60);
        uint256 id = posted();
        refused(omitted(id, noClaim(), shown(true)));
        refused(omitted(id, shown(false), noClaim()));
        convicts(id, omitted(id, shown(true), shown(false)));
    }

    function test_whatReachesNoFurtherIsNotOmitted() public {
        (claim.start, claim.length) = (START - 50, 50 + LENGTH + 1);
        uint256 id = posted();
        refused(omitted(id, shown(true), shown(false)));
    }

    function test_whatComesBeforeAllClaimsIsOmitted() public {
        claim.start = START + 1;
        uint256 id = posted();
        convicts(id, omitted(id, noClaim(), shown(true)));
    }

    function test_whatComesAfterAllClaimsIsOmitted() public {
        (claim.start, claim.length) = (START - 60, 40);
        (next.start, next.length) = (START - 50, 40);
        uint256 id = posted();
        convicts(id, omitted(id, shown(false), noClaim()));
    }

    function test_anotherContributorConvicts() public {
        claim.who[0].contributor = 3;
        uint256 id = posted();
        convicts(id, contributor(id));
    }

    function test_aDocumentThatDoesNotHoldTheSpanConvicts() public {
        row = documentRow(position + 1, 1_000, 2);
        uint256 id = posted();
        convicts(id, contributor(id));
    }

    function test_aDocumentThatEndsBeforeTheSpanConvicts() public {
        row = documentRow(position - 10, LENGTH + 10, 2);
        uint256 id = posted();
        convicts(id, contributor(id));
    }

    // ------------------------------------------------------------ takedowns

    /// Voids nothing that was posted; binds what is composed afterwards.
    function down() internal returns (uint256 id) {
        refused(takenDown(posted()));
        vm.prank(author);
        takedowns.takeDown(1, 0, document);
        refused(takenDown(1));
        vm.warp(block.timestamp + 1);
        answer.receipt.cumulative += FEE;
        return postBatch();
    }

    function test_aHolderThatWasDownConvicts() public {
        uint256 id = down();
        convicts(id, takenDown(id));
    }

    function test_aSlotThatIsNotUsedConvictsNothing() public {
        claim.holders = 0;
        refused(takenDown(down()));
    }

    function test_whatIsDownIsNotLonger() public {
        claim.length = LENGTH;
        refused(longer(down()));
    }

    function test_whatIsDownIsNotEarlier() public {
        claim.who[0].position = position + 5_000;
        refused(earlier(down()));
    }

    function test_whatIsDownIsNotOmitted() public {
        claim.start = START + 1;
        refused(omitted(down(), noClaim(), shown(true)));
    }

    /// Once anything is down, who says that a place counts shows its document.
    function test_whatIsNotDownIsShown() public {
        claim.length = LENGTH;
        posted();
        // Another row of the same table cannot be opened here, so its takedown is written as it would be.
        firstDown(block.timestamp);
        vm.warp(block.timestamp + 1);
        answer.receipt.cumulative += FEE;
        uint256 id = postBatch();
        DocumentOpening memory o = document;
        document.index += 1;
        refused(longer(id));
        document = o;
        convicts(id, longer(id));
    }

    function test_aDocumentElsewhereIsNotShown() public {
        claim.length = LENGTH;
        row = documentRow(position + 1, 1_000, 2);
        posted();
        firstDown(block.timestamp);
        vm.warp(block.timestamp + 1);
        answer.receipt.cumulative += FEE;
        refused(longer(postBatch()));
    }

    function firstDown(uint256 at_) internal {
        Store(address(vm)).store(address(takedowns), keccak256(abi.encode(uint256(1), uint256(1))), bytes32(at_));
        require(takedowns.anyDown(1, uint64(at_)) && !takedowns.anyDown(1, uint64(at_) - 1), "the first");
    }

    function test_whoMayTakeDown() public {
        posted();
        vm.expectPartialRevert(Takedowns.NotEntitled.selector);
        takedowns.takeDown(1, 0, document);
        vm.prank(author);
        pool.movePayout(2, address(0xBEEF));
        vm.prank(address(0xBEEF));
        takedowns.takeDown(1, 0, document);
        uint64 now_ = uint64(block.timestamp);
        require(takedowns.isDown(1, 0, DOCUMENT, now_) && !takedowns.isDown(1, 0, DOCUMENT, now_ - 1), "since now");
        require(!takedowns.isDown(1, 0, DOCUMENT + 1, now_) && !takedowns.isDown(2, 0, DOCUMENT, now_), "no other");
        vm.prank(CURATOR);
        vm.expectPartialRevert(Takedowns.AlreadyDown.selector);
        takedowns.takeDown(1, 0, document);
    }

    function test_theCuratorTakesDown() public {
        posted();
        vm.prank(CURATOR);
        takedowns.takeDown(1, 0, document);
        require(takedowns.anyDown(1, uint64(block.timestamp)), "down");
    }

    function test_onlyOfAFinalShard() public {
        posted();
        vm.expectPartialRevert(Takedowns.NotFinal.selector);
        takedowns.takeDown(1, 1, document);
    }

    // ------------------------------------------------------------ gas

    struct Cost {
        uint256 size; // bytes of calldata
        uint256 whole; // gas of the transaction: base, calldata, execution
        uint256 floor; // least gas of a transaction with that calldata (EIP-7623)
    }

    function cost(bytes memory call) internal returns (Cost memory c) {
        uint256 tokens;
        for (uint256 i = 0; i < call.length; ++i) tokens += call[i] == 0 ? 1 : 4;
        c.whole = gasleft();
        (bool ok,) = address(refutations).call(call);
        c.whole -= gasleft();
        require(ok, "a lie stands");
        (c.size, c.whole, c.floor) = (call.length, c.whole + 21_000 + 4 * tokens, 21_000 + 10 * tokens);
    }

    event log_named_uint(string what, uint256 value);

    function measured(string memory what, Cost memory c) internal {
        emit log_named_uint(string.concat(what, ": bytes of calldata"), c.size);
        emit log_named_uint(string.concat(what, ": gas, whole"), c.whole);
        emit log_named_uint(string.concat(what, ": gas, least"), c.floor);
    }

    /// Where the oracle was read before, as a refutation does.
    function test_gasOfConvictionAlone() public {
        uint256 id = posted();
        oracle.claimsOf(id);
        oracle.spanRulesOf(id);
        vm.prank(address(refutations));
        uint256 spent = gasleft();
        oracle.convict(id, Kind.LONGER, address(this));
        emit log_named_uint("conviction alone", spent - gasleft());
    }

    function test_gasOfMismatch() public {
        inCorpus[(position & 255) + 9] ^= 0x01;
        measured("mismatch", cost(mismatch(posted())));
    }

    function test_gasOfLonger() public {
        claim.length = LENGTH;
        uint256 id = posted();
        delete document; // nothing is down
        measured("longer", cost(longer(id)));
    }

    function test_gasOfLongerAcrossTheMiddle() public {
        place((1 << 21) * 256 - 128);
        honest();
        claim.length = LENGTH;
        uint256 id = posted();
        delete document;
        measured("longer, across the middle of the shard", cost(longer(id)));
    }

    function test_gasOfEarlier() public {
        claim.who[0].position = position + 5_000;
        measured("earlier", cost(earlier(posted())));
    }

    function test_gasOfOmitted() public {
        (claim.start, claim.length) = (START - 50, 60);
        uint256 id = posted();
        delete document;
        measured("omitted", cost(omitted(id, shown(true), shown(false))));
    }

    function test_gasOfContributor() public {
        claim.who[0].contributor = 3;
        measured("contributor", cost(contributor(posted())));
    }

    function test_gasOfTakenDown() public {
        measured("taken down", cost(takenDown(down())));
    }
}

interface Store {
    function store(address, bytes32, bytes32) external;
}
