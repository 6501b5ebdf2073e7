//! HTTP requests, the port shared by gRPC and HTTP, and gRPC-Web.

pub mod grpc_web;
pub mod port;
pub mod requests;
