use std::sync::atomic::Ordering;

use axum::body::Body;

use super::echo::{Echo, Messages, call, framed, message};
use super::world::{Front, Service, pipe, soon};

async fn echo() -> (Front, Echo, tokio::sync::mpsc::UnboundedReceiver<&'static str>, Service) {
    let (echo, ended) = Echo::new();
    let service = Service::new(echo.clone().app()).await;
    let front = Front::new(&[("test.", service.url("http"))]).await;
    (front, echo, ended, service)
}

#[tokio::test]
async fn a_unary_call_comes_back_with_its_trailers() {
    let (front, _, _, _) = echo().await;
    let body = Body::from(framed(b"hello"));
    let response = soon(front.http2().await.send_request(call("Unary", body))).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let mut messages = Messages::new(response.into_body());
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "hello");
    assert!(soon(messages.next()).await.is_none());
    let trailers = messages.trailers.unwrap();
    assert_eq!((&trailers["grpc-status"], &trailers["x-count"]), (&"0".parse().unwrap(), &"1".parse().unwrap()));
}

#[tokio::test]
async fn a_message_of_eight_mib_passes_both_ways() {
    let (front, _, _, _) = echo().await;
    let content: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|index| (index % 251) as u8).collect();
    let body = Body::from(framed(&content));
    let response = soon(front.http2().await.send_request(call("Unary", body))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    assert!(soon(messages.next()).await.unwrap().unwrap() == content);
}

#[tokio::test]
async fn messages_of_a_server_stream_arrive_one_by_one() {
    let (front, echo, _, _) = echo().await;
    let body = Body::from(framed(b""));
    let response = soon(front.http2().await.send_request(call("ServerStream", body))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    for count in 0..3 {
        // The service sends one message for each permit: a gateway that collects would never give this one.
        echo.steps.add_permits(1);
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), format!("message {count}"));
    }
    echo.steps.add_permits(1);
    assert!(soon(messages.next()).await.is_none());
    assert_eq!(messages.trailers.unwrap()["x-count"], "3");
}

#[tokio::test]
async fn a_client_stream_is_not_collected_and_ends_with_its_count() {
    let (front, _, _, _) = echo().await;
    let mut client = front.http2().await;
    let (writer, body) = pipe();
    let answer = tokio::spawn(client.send_request(call("ClientStream", body)));
    for text in ["a", "b", "c"] {
        soon(writer.send(message(text))).await.unwrap();
    }
    assert!(!answer.is_finished());
    drop(writer);
    let mut messages = Messages::new(soon(answer).await.unwrap().unwrap().into_body());
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "abc");
    assert!(soon(messages.next()).await.is_none());
    assert_eq!(messages.trailers.unwrap()["x-count"], "3");
}

#[tokio::test]
async fn ping_and_pong_go_through_a_bidirectional_stream() {
    let (front, _, _, _) = echo().await;
    let mut client = front.http2().await;
    let (writer, body) = pipe();
    let response = soon(client.send_request(call("Bidi", body))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    for text in ["one", "two", "three"] {
        writer.send(message(text)).await.unwrap();
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), text);
    }
    drop(writer);
    assert!(soon(messages.next()).await.is_none());
    assert_eq!(messages.trailers.unwrap()["x-count"], "3");
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_answer_cancels_the_call_behind() {
    let (front, _, mut ended, _) = echo().await;
    let mut client = front.http2().await;
    // The body stays open: only the reset of the stream can tell the service.
    let (writer, body) = pipe();
    let answer = tokio::spawn(client.send_request(call("Hang", body)));
    writer.send(message("x")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(ended.try_recv().is_err());
    answer.abort();
    assert_eq!(soon(ended.recv()).await, Some("call dropped"));
}

#[tokio::test]
async fn a_caller_who_leaves_in_the_middle_ends_the_stream_behind() {
    let (front, echo, mut ended, _) = echo().await;
    let body = Body::from(framed(b""));
    let response = soon(front.http2().await.send_request(call("ServerStream", body))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    echo.steps.add_permits(1);
    soon(messages.next()).await.unwrap().unwrap();
    drop(messages);
    assert_eq!(soon(ended.recv()).await, Some("stream dropped"));
}

#[tokio::test]
async fn a_callers_connection_that_goes_breaks_the_request_behind() {
    let (front, _, mut ended, _) = echo().await;
    let (writer, body) = pipe();
    let (mut client, socket) = front.http2_that_breaks().await;
    let _answer = tokio::spawn(client.send_request(call("ClientStream", body)));
    soon(writer.send(message("a"))).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    socket.shutdown(std::net::Shutdown::Both).unwrap();
    // Not the end of the stream, which would be an answer of one message.
    assert_eq!(soon(ended.recv()).await, Some("request broke"));
}

#[tokio::test]
async fn a_stream_that_breaks_behind_breaks_for_the_caller() {
    let (front, echo, _, _) = echo().await;
    let response = soon(front.http2().await.send_request(call("Break", Body::empty()))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "first");
    echo.steps.add_permits(1);
    assert!(soon(messages.next()).await.unwrap().is_err());
    assert!(messages.trailers.is_none());
}

#[tokio::test]
async fn the_authority_is_the_host_that_was_asked_for() {
    let (front, _, _, _) = echo().await;
    let response = soon(front.http2().await.send_request(call("Authority", Body::empty()))).await.unwrap();
    let mut messages = Messages::new(response.into_body());
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), "flyte.example");
}

#[tokio::test]
async fn two_hundred_streams_at_once_take_two_connections_and_leave_one() {
    let (front, _, _, service) = echo().await;
    let mut client = front.http2().await;
    let mut streams = Vec::new();
    for index in 0..200 {
        let (writer, body) = pipe();
        let response = soon(client.send_request(call("Bidi", body))).await.unwrap();
        streams.push((index, writer, Messages::new(response.into_body())));
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 2);
    // All of them are alive, in any order.
    for (index, writer, messages) in streams.iter_mut().rev() {
        writer.send(message(&index.to_string())).await.unwrap();
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), index.to_string());
    }
    drop(streams);
    let response = soon(client.send_request(call("Unary", Body::from(framed(b"x"))))).await.unwrap();
    assert_eq!(soon(Messages::new(response.into_body()).next()).await.unwrap().unwrap(), "x");
    assert_eq!(service.connections.load(Ordering::SeqCst), 2);
}
