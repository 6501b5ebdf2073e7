//! Compiles `proto/` with protox, so that the build does not need `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

/// Messages that the server encodes itself, with events as they are stored.
const SPLICED: [&str; 3] = ["SubscribeResponse", "ReadResponse", "GetEventResponse"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(
        [
            "tidings/events/v1/event_service.proto",
            "tidings/events/v1/topic_service.proto",
            "tidings/events/v1/error_reason.proto",
        ],
        ["proto"],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;

    // Messages and clients, as any client generates them.
    let (messages, servers) = (out.join("messages"), out.join("servers"));
    fs::create_dir_all(&messages)?;
    fs::create_dir_all(&servers)?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_server(false)
        .extern_path(".google.rpc", "::tonic_types::pb")
        .out_dir(&messages)
        .compile_fds_with_config(files.clone(), config)?;

    // Servers, over the same messages except the spliced ones.
    let mut server = tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_client(false)
        .codec_path("crate::proto::RequestCodec")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .extern_path(".tidings.events.v1", "crate::proto::events::v1")
        .out_dir(&servers);
    for message in SPLICED {
        server =
            server.extern_path(format!(".tidings.events.v1.{message}"), "crate::proto::Spliced");
    }
    server.compile_fds(files)?;
    Ok(())
}
