use headwaiter::compat::quinn::Runtime;
use headwaiter::time::{now, timeout};
use headwaiter::{Clock, EventLoop};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ApplicationClose, ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig,
    ServerConfig, TransportConfig,
};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::version::TLS13;
use std::error::Error;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn configs(idle: Duration) -> Result<(ServerConfig, ClientConfig)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let certificate = made.cert.der();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let provider = Arc::new(ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let server = server.with_protocol_versions(&[&TLS13])?.with_no_client_auth();
    let server = server.with_single_cert(vec![certificate.clone()], made.signing_key.into())?;
    let client =
        rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let client = client.with_root_certificates(roots).with_no_client_auth();

    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(idle.try_into()?));
    let transport = Arc::new(transport);
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    server.transport_config(Arc::clone(&transport));
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
    client.transport_config(transport);
    Ok((server, client))
}

struct Pair {
    server: Endpoint,
    client: Endpoint,
    config: ClientConfig,
}

impl Pair {
    fn new(idle: Duration) -> Result<Pair> {
        let (server, config) = configs(idle)?;
        let endpoint = |server| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(Runtime))
        };
        Ok(Pair { server: endpoint(Some(server))?, client: endpoint(None)?, config })
    }

    /// The client's end of a new connection, and the server's.
    async fn connect(&self) -> Result<(Connection, Connection)> {
        let server = self.server.clone();
        let accept =
            headwaiter::spawn(
                async move { server.accept().await.expect("the endpoint is open").await },
            );
        let client = self.client.connect_with(
            self.config.clone(),
            self.server.local_addr()?,
            "localhost",
        )?;
        Ok((client.await?, accept.await??))
    }
}

/// Sends back what comes on each stream.
async fn echo(connection: Connection) {
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        while let Ok(Some(part)) = receive.read_chunk(usize::MAX, true).await {
            if send.write_chunk(part.bytes).await.is_err() {
                return;
            }
        }
        let _ = send.finish();
    }
}

#[test]
fn many_connections_of_one_endpoint_send_at_once() {
    headwaiter::block_on(async {
        let pair = Pair::new(Duration::from_secs(10))?;
        let mut clients = Vec::new();
        for number in 0..20_u8 {
            let (client, server) = pair.connect().await?;
            headwaiter::spawn(echo(server));
            clients.push(headwaiter::spawn(async move {
                let sent = vec![number; 300_000];
                let (mut send, mut receive) = client.open_bi().await?;
                let upload = headwaiter::spawn({
                    let sent = sent.clone();
                    async move {
                        send.write_all(&sent).await?;
                        send.finish()?;
                        Ok::<_, Box<dyn Error>>(())
                    }
                });
                let received = receive.read_to_end(sent.len()).await?;
                upload.await??;
                client.close(0_u32.into(), b"");
                Ok::<_, Box<dyn Error>>(received == sent)
            }));
        }
        for client in clients {
            assert!(timeout(Duration::from_secs(20), client).await???, "other bytes came back");
        }
        pair.client.wait_idle().await;
        pair.server.wait_idle().await;
        Ok::<_, Box<dyn Error>>(())
    })
    .unwrap();
}

#[test]
fn an_idle_timeout_of_an_hour_passes_at_once_on_a_virtual_clock() {
    let hour = Duration::from_secs(3600);
    let mut virtual_loop = EventLoop::builder().clock(Clock::Virtual).build().unwrap();
    virtual_loop
        .block_on(async {
            let (client, server) = Pair::new(hour)?.connect().await?;
            let begin = now();
            assert_eq!(client.closed().await, ConnectionError::TimedOut);
            assert_eq!(server.closed().await, ConnectionError::TimedOut);
            assert!(now() - begin >= hour);
            Ok::<_, Box<dyn Error>>(())
        })
        .unwrap();
}

#[test]
fn connections_and_streams_can_be_used_and_dropped_on_other_threads_and_after_the_loop() {
    let left = headwaiter::block_on(async {
        let pair = Pair::new(Duration::from_secs(10))?;
        let (client, server) = pair.connect().await?;
        let away = client.clone();
        let write = move || {
            futures_lite::future::block_on(async {
                let mut stream = away.open_uni().await?;
                stream.write_all(b"soup").await?;
                stream.finish()?;
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            })
        };
        let writer = thread::spawn(write);
        let mut stream = server.accept_uni().await?;
        assert_eq!(stream.read_to_end(100).await?, b"soup");
        writer.join().unwrap().unwrap();
        // The last handle of it, so that it is closed.
        let dropped = thread::spawn(move || drop(client));
        let closed = ConnectionError::ApplicationClosed(ApplicationClose {
            error_code: 0_u32.into(),
            reason: Default::default(),
        });
        assert_eq!(server.closed().await, closed);
        dropped.join().unwrap();
        let open = pair.connect().await?;
        Ok::<_, Box<dyn Error>>((pair, open))
    });
    drop(left.unwrap());
}
