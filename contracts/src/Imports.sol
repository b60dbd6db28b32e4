// SPDX-License-Identifier: MIT
pragma solidity ^0.8.30;

// The one contract of others that is deployed as it is; imported so that its artifact is written.
import {AccessManager} from "@openzeppelin/contracts/access/manager/AccessManager.sol";
