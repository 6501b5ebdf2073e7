//! HTTP: requests, the port that serves both, gRPC-Web.

pub mod grpc_web;
pub mod port;
pub mod requests;
