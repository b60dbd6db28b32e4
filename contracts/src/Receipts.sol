// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

/// What a host signs about one answer. Field for field the twin of `protocol/receipt.py`.
struct Receipt {
    bytes32 request;
    bytes32 base; // sha256 of the base model
    bytes32 adapter; // sha256 of the adapter's weights
    bytes32 sampling;
    bytes32 promptRoot;
    uint32 promptSize; // bytes
    bytes32 outputRoot;
    uint32 outputSize; // bytes
    bytes32 leavesRoot;
    uint32 promptTokens;
    uint32 outputTokens;
    uint128 amount; // wei; this answer is paid by the voucher interval (cumulative - amount, cumulative]
    uint128 cumulative; // wei
    uint64 seed;
    uint8 fingerprint;
    uint64 nonce;
    uint64 deadline;
    address host;
    address payer;
}

bytes32 constant RECEIPT_TYPEHASH = keccak256(
    "Receipt(bytes32 request,bytes32 base,bytes32 adapter,bytes32 sampling,bytes32 promptRoot,uint32 promptSize,bytes32 outputRoot,uint32 outputSize,bytes32 leavesRoot,uint32 promptTokens,uint32 outputTokens,uint128 amount,uint128 cumulative,uint64 seed,uint8 fingerprint,uint64 nonce,uint64 deadline,address host,address payer)"
);

/// The EIP-712 struct hash; every field is one word, so the encoding is the type hash and the struct inline.
function hashReceipt(Receipt calldata receipt) pure returns (bytes32) {
    return keccak256(abi.encode(RECEIPT_TYPEHASH, receipt));
}

/// Whether two receipts are paid by a common part of one voucher; an amount of 0 overlaps nothing.
function overlap(Receipt memory a, Receipt memory b) pure returns (bool) {
    if (a.host != b.host || a.payer != b.payer || a.adapter != b.adapter) return false;
    uint128 startA = a.cumulative > a.amount ? a.cumulative - a.amount : 0;
    uint128 startB = b.cumulative > b.amount ? b.cumulative - b.amount : 0;
    uint128 start = startA > startB ? startA : startB;
    uint128 end = a.cumulative < b.cumulative ? a.cumulative : b.cumulative;
    return start < end && a.amount != 0 && b.amount != 0;
}
