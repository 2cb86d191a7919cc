//! The token in a stack of tower services: here around tonic's own channel, with a limit of calls in flight below it.
//!
//!     cargo run -p flyte-auth-example --bin flyte-auth-example-tower -- http://127.0.0.1:8089

mod session;

use flyte_auth::tower::AuthLayer;
use http::uri::PathAndQuery;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use tower::ServiceBuilder;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a program for a terminal")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let session = session::from_arguments()?;
    let endpoint = session.config().endpoint.as_ref().ok_or("give the endpoint as the first argument")?;

    // The channel is yours: connect it where the session's endpoint is.
    let channel = Channel::from_shared(endpoint.value.base_url())?.connect_lazy();
    let stack = ServiceBuilder::new().layer(AuthLayer::new(&session)).concurrency_limit(8).service(channel);

    let mut client = Grpc::new(stack);
    client.ready().await?;
    let method = PathAndQuery::from_static("/flyteidl.service.IdentityService/UserInfo");
    client.unary(Request::new(()), method, ProstCodec::<(), ()>::default()).await?;
    println!("the call went through");
    Ok(())
}
