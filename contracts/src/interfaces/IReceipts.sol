// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

import {Receipt} from "../Receipts.sol";

/// Of the escrow, what a refutation needs.
interface IReceipts {
    /// Wei ever paid by vouchers; never falls.
    function redeemed(address payer, address host, bytes32 adapter) external view returns (uint128);
    function receiptDigest(Receipt calldata receipt) external view returns (bytes32);
}
