//! gRPC calls by tonic: any client that tonic generates takes the channel; here a call by hand, so that the example
//! needs no generated code.
//!
//!     cargo run -p flyte-auth-example --bin flyte-auth-example-tonic -- http://127.0.0.1:8089

mod session;

use http::uri::PathAndQuery;
use tonic::Request;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

/// The first field of `flyteidl.service.UserInfoResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct UserInfo {
    #[prost(string, tag = "1")]
    subject: String,
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a program for a terminal")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let session = session::from_arguments()?;
    let channel = flyte_auth::tonic::channel(&session)?;

    let mut client = Grpc::new(channel);
    client.ready().await?;
    let method = PathAndQuery::from_static("/flyteidl.service.IdentityService/UserInfo");
    let reply = client.unary(Request::new(()), method, ProstCodec::<(), UserInfo>::default()).await?;
    println!("the server sees {}", reply.into_inner().subject);
    Ok(())
}
