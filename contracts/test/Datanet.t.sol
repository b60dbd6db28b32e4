// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {DocumentOpening, NONE} from "../src/Batches.sol";
import {DatanetRegistry} from "../src/DatanetRegistry.sol";
import {Demands} from "../src/Demands.sol";
import {Documents} from "../src/Documents.sol";
import {Merkle} from "../src/Merkle.sol";
import {TextOpening} from "../src/Text.sol";
import {Court} from "./Court.t.sol";

/// Shards of one document; the Python tests draw larger ones.
contract DatanetTest is Court {
    uint256 constant AUTHOR_KEY = 0xA0740;
    address constant CURATOR = address(0xC0DE);
    bytes constant TEXT = "what the author wrote";
    uint32 author;

    function setUp() public {
        convene();
        author = pool.register(vm.addr(AUTHOR_KEY));
        vm.deal(CURATOR, 10_000 ether);
        vm.startPrank(CURATOR);
        vault.stake{value: 5_000 ether}(CURATOR);
        registry.create{value: 1 ether}("letters");
        vm.stopPrank();
    }

    // ------------------------------------------------------------ a shard of one document

    struct Row {
        uint64 start;
        uint64 length;
        uint32 contributor;
        uint64 nonce;
        bytes32 content;
        uint256 key;
    }

    function honest() internal view returns (Row memory) {
        return Row(1, uint64(TEXT.length), author, 7, leafHash(Merkle.TEXT, TEXT), AUTHOR_KEY);
    }

    function leafHash(uint8 kind, bytes memory data) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(uint8(0), kind, data));
    }

    function encode(Row memory row) internal view returns (bytes memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("OpenLedger Datanet"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        bytes32 struct_ = keccak256(
            abi.encode(
                registry.CONTRIBUTION_TYPEHASH(),
                uint32(1),
                row.content,
                row.length,
                bytes32("terms"),
                row.contributor,
                row.nonce
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(row.key, keccak256(abi.encodePacked(hex"1901", domain, struct_)));
        return abi.encodePacked(
            row.start, row.length, row.contributor, row.nonce, row.content, bytes32("terms"), r, s, v
        );
    }

    function publish(bytes memory text, bytes memory row) internal returns (uint32) {
        bytes32 textRoot = leafHash(Merkle.TEXT, text);
        bytes32 documentRoot = leafHash(Merkle.DOCUMENT, row);
        vm.prank(CURATOR); // not before: a precompile is a call too
        return registry.publish(1, textRoot, documentRoot, uint64(text.length), 1);
    }

    function opened(bytes memory row) internal pure returns (DocumentOpening memory) {
        return DocumentOpening(0, row, new bytes32[](0));
    }

    function none() internal pure returns (DocumentOpening memory o) {
        o.index = NONE;
    }

    function window(bytes memory text) internal pure returns (TextOpening memory t) {
        (t.leaves, t.proof) = (text, new bytes32[](0));
    }

    function shardText() internal pure returns (bytes memory) {
        return bytes.concat(hex"ff", TEXT);
    }

    function slashed() internal view {
        eq(vault.credit(address(this)), 30 ether, "reward");
        eq(registry.datanetOf(1).shardCount, 0, "its place is free");
        (, uint128 locked,,) = vault.accounts(CURATOR);
        eq(locked, 0, "no bond left");
    }

    // ------------------------------------------------------------ laws

    function test_creationCostsTheFeeAndItReachesTheTreasury() public {
        vm.expectPartialRevert(DatanetRegistry.WrongFee.selector);
        registry.create{value: 2 ether}("letters");
        vm.expectRevert(DatanetRegistry.BadName.selector);
        registry.create{value: 1 ether}("");
        uint256 before = TREASURY.balance;
        registry.collectFees();
        eq(TREASURY.balance - before, 1 ether, "fee");
        eq(address(registry).balance, 0, "nothing left");
    }

    function test_nothingConvictsAnHonestShard() public {
        bytes memory row = encode(honest());
        publish(shardText(), row);
        vm.expectRevert(DatanetRegistry.NotFraud.selector);
        registry.refuteText(1, 0, opened(row), 0, TEXT, new bytes32[](0), window(shardText()));
        vm.expectRevert(DatanetRegistry.NotFraud.selector);
        registry.refuteSeparator(1, 0, opened(row), window(shardText()));
        vm.expectRevert(DatanetRegistry.NotFraud.selector);
        registry.refuteOrder(1, 0, opened(row), none());
        vm.expectRevert(DatanetRegistry.NotFraud.selector);
        registry.refuteUnsigned(1, 0, opened(row));
        vm.expectRevert(DatanetRegistry.NotFraud.selector);
        registry.refuteDuplicate(1, 0, opened(row), 0, opened(row));
        vm.warp(block.timestamp + 1 days);
        registry.finalize(1, 0);
        eq(registry.finalShards(1), 1, "final");
        (uint128 free,,,) = vault.accounts(CURATOR);
        eq(free, 5_000 ether, "bond is back");
    }

    function testFuzz_oneChangedByteIsConvicted(uint256 place, uint8 change) public {
        bytes memory text = shardText();
        place = bound(place, 0, text.length - 1);
        vm.assume(change != 0);
        text[place] ^= bytes1(change);
        bytes memory row = encode(honest());
        publish(text, row);
        if (place == 0) registry.refuteSeparator(1, 0, opened(row), window(text));
        else registry.refuteText(1, 0, opened(row), 0, TEXT, new bytes32[](0), window(text));
        slashed();
    }

    function testFuzz_aBrokenTableIsConvicted(uint64 start, uint64 length) public {
        Row memory broken = honest();
        vm.assume(start != broken.start || length != broken.length);
        (broken.start, broken.length) = (start, length);
        bytes memory row = encode(broken);
        publish(shardText(), row);
        registry.refuteOrder(1, 0, opened(row), none());
        slashed();
    }

    function testFuzz_whoDidNotSignConvicts(uint256 key, uint32 contributor, bool id) public {
        Row memory broken = honest();
        key = bound(key, 1, 1 << 200);
        vm.assume(key != AUTHOR_KEY && contributor != author);
        if (id) broken.contributor = contributor;
        else broken.key = key;
        bytes memory row = encode(broken);
        publish(shardText(), row);
        registry.refuteUnsigned(1, 0, opened(row));
        slashed();
    }

    function test_theTreasuryContributesNothing() public {
        Row memory row_ = honest();
        row_.contributor = 0;
        bytes memory row = encode(row_);
        publish(shardText(), row);
        registry.refuteUnsigned(1, 0, opened(row));
        slashed();
    }

    function test_aRepeatedDocumentVoidsWhatFollows() public {
        bytes memory row = encode(honest());
        publish(shardText(), row);
        Row memory again = honest();
        again.nonce = 8;
        bytes memory second = encode(again);
        publish(shardText(), second);
        publish(bytes(hex"ff61"), encode(honest())); // innocent of that
        vm.expectRevert(DatanetRegistry.NotFraud.selector);
        registry.refuteDuplicate(1, 0, opened(row), 1, opened(second)); // the earlier is no copy
        registry.refuteDuplicate(1, 1, opened(second), 0, opened(row));
        eq(registry.datanetOf(1).shardCount, 1, "voided");
        (, uint128 locked,,) = vault.accounts(CURATOR);
        eq(locked, 100 ether, "only the first one's bond");
        eq(publish(bytes(hex"ff61"), row), 1, "the place is used again");
    }

    function test_anotherRowOrTextIsNotOpened() public {
        bytes memory row = encode(honest());
        publish(shardText(), row);
        bytes memory other = encode(honest());
        other[0] ^= 0x01;
        vm.expectPartialRevert(Documents.BadDocumentOpening.selector);
        registry.refuteOrder(1, 0, opened(other), none());
        vm.expectRevert(Demands.BadDisclosure.selector);
        registry.refuteText(1, 0, opened(row), 0, "what the author wrotx", new bytes32[](0), window(shardText()));
    }

    function test_shardsAreBounded() public {
        vm.startPrank(CURATOR);
        vm.expectRevert(DatanetRegistry.BadShard.selector);
        registry.publish(1, 0, 0, 2, 0);
        vm.expectRevert(DatanetRegistry.BadShard.selector);
        registry.publish(1, 0, 0, 3, 2);
        vm.expectRevert(DatanetRegistry.BadShard.selector);
        registry.publish(1, 0, 0, (1 << 30) + 1, 1);
        vm.expectRevert(DatanetRegistry.BadShard.selector);
        registry.publish(1, 0, 0, 1 << 30, 6_839_120);
        registry.publish(1, 0, 0, 1 << 30, 6_839_119);
        for (uint256 i = 1; i < 16; ++i) registry.publish(1, 0, 0, 2, 1);
        vm.expectPartialRevert(DatanetRegistry.TooManyPending.selector);
        registry.publish(1, 0, 0, 2, 1);
        vm.stopPrank();
        vm.expectPartialRevert(DatanetRegistry.NotCurator.selector);
        registry.publish(1, 0, 0, 2, 1);
    }

    function test_finalInOrder() public {
        bytes memory row = encode(honest());
        publish(shardText(), row);
        publish(shardText(), row);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(DatanetRegistry.NotPending.selector);
        registry.finalize(1, 1);
        registry.finalize(1, 0);
        registry.finalize(1, 1);
        vm.expectPartialRevert(DatanetRegistry.NotPending.selector);
        registry.finalize(1, 2);
    }

    function test_aDemandOfAVoidedPublicationIsRefunded() public {
        bytes memory row = encode(honest());
        publish(shardText(), row);
        publish(shardText(), row);
        registry.demand{value: 1 ether}(2, Merkle.TEXT, 0);
        registry.refuteDuplicate(1, 1, opened(row), 0, opened(row));
        publish(shardText(), row); // publication 3 in the place of 2
        vm.expectRevert(Demands.NotDemanded.selector);
        registry.claimUnanswered(2, Merkle.TEXT, 0);
        registry.refundDemand(2, Merkle.TEXT, 0);
        eq(registry.credit(address(this)), 1 ether, "refunded");
        vm.warp(block.timestamp + 1 days);
        registry.finalize(1, 0);
        registry.finalize(1, 1);
    }
}
