"""The peers' HTTP/3 servers: each serves the stage's folder `www` at PEER_IP."""
from peers import PEER_IP, wait_until

NGINX_PORT = 4441
CADDY_PORT = 4442
NGTCP2_PORT = 4443
START_SECONDS = 20

NGINX = """
user root; worker_processes 1; daemon off; pid /tmp/nginx.pid; error_log stderr info;
events {{}}
http {{
    access_log off;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server {{
        listen {ip}:{port} quic reuseport;
        http3 on;
        ssl_certificate /srv/millrace/{certificate}.pem;
        ssl_certificate_key /srv/millrace/{certificate}.key;
        ssl_protocols TLSv1.3;
        root /srv/millrace/www;
    }}
}}
"""

CADDY = """
{{
    auto_https off
    admin off
    default_sni millrace.test
}}
https://{ip}:{port}, https://millrace.test:{port} {{
    tls /srv/millrace/{certificate}.pem /srv/millrace/{certificate}.key
    root * /srv/millrace/www
    file_server
}}
"""


def _is_listening(stage, port):
    return f":{port} " in stage.namespace.run("ss", "-Huln").stdout


def _start(stage, port, *command):
    process = stage.start_peer(*command)
    try:
        wait_until(lambda: _is_listening(stage, port) or not process.is_running(), START_SECONDS, f"port {port}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{process.log()}") from None
    if not process.is_running():
        raise AssertionError(f"{command[0]} did not start:\n{process.log()}")
    return process


def _configure(stage, template, name, port, certificate):
    path = stage.folder / name
    path.write_text(template.format(ip=PEER_IP, port=port, certificate=certificate))
    return f"/srv/millrace/{name}"


def start_nginx(stage, certificate="server", port=NGINX_PORT):
    path = _configure(stage, NGINX, f"nginx-{certificate}.conf", port, certificate)
    return _start(stage, port, "nginx", "-c", path)


def start_caddy(stage, certificate="server", port=CADDY_PORT):
    path = _configure(stage, CADDY, f"Caddyfile-{certificate}", port, certificate)
    return _start(stage, port, "caddy", "run", "--config", path, "--adapter", "caddyfile")


def start_ngtcp2(stage, certificate="server", port=NGTCP2_PORT):
    return _start(stage, port, "gtlsserver", "-q", "-d", "/srv/millrace/www", PEER_IP, str(port),
                  f"/srv/millrace/{certificate}.key", f"/srv/millrace/{certificate}.pem")
