//! quinn as an endpoint of the interoperability cases: HTTP/0.9, client and server.  Built in the peers' tree.
//!
//!     quinn-endpoint client ADDRESS:PORT case=NAME ca=PEM out=DIR paths=FILE connections=one|two|each
//!     quinn-endpoint server ADDRESS:PORT case=NAME cert=PEM key=PEM root=DIR [preferred=ADDRESS:PORT]
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{version::TLS13, CipherSuite, KeyLogFile, RootCertStore};

type Error = Box<dyn std::error::Error + Send + Sync>;
type Options = HashMap<String, String>;

const NAME: &str = "millrace.test";
const REQUEST_MAX: usize = 4096;
const ANSWER_MAX: usize = 64 << 20;
const NOT_FOUND: u32 = 404;

fn provider(case: &str) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if case == "chacha20" {
        provider.cipher_suites.retain(|s| s.suite() == CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    }
    Arc::new(provider)
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(30).try_into().unwrap()));
    Arc::new(transport)
}

// ---- client

fn client_config(options: &Options) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&options["ca"])? {
        roots.add(certificate?)?;
    }
    // Key exchange is ring's in any case; only the packets' suites are chosen.
    let mut tls = rustls::ClientConfig::builder_with_provider(provider(&options["case"]))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"hq-interop".to_vec()];
    tls.key_log = Arc::new(KeyLogFile::new());
    tls.enable_early_data = options["case"] == "zerortt";
    let initial = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .ok_or("no suite for Initial packets")?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::with_initial(Arc::new(tls), initial)?));
    config.transport_config(transport());
    Ok(config)
}

async fn fetch(connection: Connection, path: String, out: String) -> Result<(), Error> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(format!("GET /{path}\r\n").as_bytes()).await?;
    send.finish()?;
    let answer = receive.read_to_end(ANSWER_MAX).await?;
    tokio::fs::write(Path::new(&out).join(&path), answer).await?;
    Ok(())
}

async fn fetch_all(endpoint: &Endpoint, server: SocketAddr, options: &Options, paths: &[String], is_early: bool) -> Result<(), Error> {
    let connecting = endpoint.connect(server, NAME)?;
    let connection = if is_early {
        match connecting.into_0rtt() {
            Ok((connection, _)) => connection,
            Err(connecting) => connecting.await?,
        }
    } else {
        connecting.await?
    };
    let mut tasks = tokio::task::JoinSet::new();
    for path in paths {
        tasks.spawn(fetch(connection.clone(), path.clone(), options["out"].clone()));
    }
    if options["case"] == "keyupdate" {
        tokio::time::sleep(Duration::from_millis(200)).await;
        connection.force_key_update();
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    if options["connections"] == "two" {
        tokio::time::sleep(Duration::from_millis(200)).await; // for the ticket
    }
    connection.close(0u32.into(), b"");
    Ok(())
}

async fn run_client(server: SocketAddr, options: &Options) -> Result<(), Error> {
    let any: SocketAddr = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse()?;
    let mut endpoint = Endpoint::client(any)?;
    endpoint.set_default_client_config(client_config(options)?);
    let paths: Vec<String> = std::fs::read_to_string(&options["paths"])?
        .split_whitespace()
        .map(|path| path.trim_start_matches('/').to_string())
        .collect();
    let groups: Vec<&[String]> = match options["connections"].as_str() {
        "each" => paths.chunks(1).collect(),
        "two" => vec![&paths[..1], &paths[1..]],
        _ => vec![&paths[..]],
    };
    for (number, group) in groups.iter().enumerate() {
        fetch_all(&endpoint, server, options, group, number > 0 && options["case"] == "zerortt").await?;
    }
    endpoint.wait_idle().await;
    Ok(())
}

// ---- server

fn server_config(options: &Options) -> Result<ServerConfig, Error> {
    let certificates = CertificateDer::pem_file_iter(&options["cert"])?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&options["key"])?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider(""))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    tls.alpn_protocols = vec![b"hq-interop".to_vec()];
    tls.key_log = Arc::new(KeyLogFile::new());
    tls.max_early_data_size = u32::MAX;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport());
    if let Some(preferred) = options.get("preferred") {
        config.preferred_address_v4(Some(preferred.parse()?));
    }
    Ok(config)
}

async fn answer(mut send: quinn::SendStream, mut receive: quinn::RecvStream, root: String) -> Result<(), Error> {
    let request = String::from_utf8(receive.read_to_end(REQUEST_MAX).await?)?;
    let path = request.trim().trim_start_matches("GET ").trim_start_matches('/').to_string();
    match tokio::fs::read(Path::new(&root).join(path)).await {
        Ok(content) => {
            send.write_all(&content).await?;
            send.finish()?;
        }
        Err(_) => send.reset(NOT_FOUND.into())?,
    }
    Ok(())
}

async fn serve(incoming: quinn::Incoming, root: String) -> Result<(), Error> {
    let connection = incoming.await?;
    loop {
        let (send, receive) = connection.accept_bi().await?;
        tokio::spawn(answer(send, receive, root.clone()));
    }
}

async fn run_server(address: SocketAddr, options: &Options) -> Result<(), Error> {
    let endpoint = Endpoint::server(server_config(options)?, address)?;
    println!("ready");
    while let Some(incoming) = endpoint.accept().await {
        if options["case"] == "retry" && !incoming.remote_address_validated() {
            incoming.retry()?;
        } else {
            tokio::spawn(serve(incoming, options["root"].clone()));
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = words[1].parse()?;
    let options: Options = words[2..]
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    match words[0].as_str() {
        "client" => run_client(address, &options).await,
        _ => run_server(address, &options).await,
    }
}
