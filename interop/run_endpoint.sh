#!/usr/bin/env bash
# What the public QUIC interoperability runner starts in the container: one test case, as client or as server.
#
#   ROLE           client or server
#   TESTCASE       what to do; exit 127: not supported
#   REQUESTS       URLs, separated by blanks (client)
#   SSLKEYLOGFILE  file for TLS secrets        QLOGDIR  folder for qlog
#   /www           what to serve               /downloads  where the client's files go
#   /certs         cert.pem and priv.key of the server; ca.pem, if it is there, is what the client trusts
#
# For tests: INTERFACE (eth0), and MILLRACE, WWW, DOWNLOADS, CERTS in place of the above.  The interface's addresses and
# routes are read, then the addresses are taken from the kernel: they are millrace's from there on.
set -euo pipefail

unsupported=127
ROLE=${ROLE:-}
TESTCASE=${TESTCASE:-}
interface=${INTERFACE:-eth0}
millrace=${MILLRACE:-millrace}
www=${WWW:-/www}
downloads=${DOWNLOADS:-/downloads}
certs=${CERTS:-/certs}
port=443

declare -a host_options=() client_options=() server_options=()
connections=one # of the client: one, two (the second resumes the first), each (URL its own)
alpn=hq-interop
preferred_port= # of the server: clients are asked to go there, to the address that they have come to

choose() {
    case "$ROLE" in
    client | server) ;;
    *)
        echo "run_endpoint: ROLE=$ROLE is neither client nor server" >&2
        exit 2
        ;;
    esac
    case "$ROLE-$TESTCASE" in
    *-handshake | *-transfer | *-longrtt | *-blackhole | *-multiplexing | *-ipv6 | *-ecn | *-goodput | *-crosstraffic) ;;
    *-amplificationlimit | *-transferloss | *-transfercorruption | *-rebind-port | *-rebind-addr) ;;
    server-chacha20 | server-keyupdate | server-resumption | server-multiconnect | server-v2 | server-http3) ;;
    server-handshakeloss | server-handshakecorruption | server-versionnegotiation) ;;
    server-connectionmigration) preferred_port=4443 ;;
    client-connectionmigration) ;;
    server-retry) server_options+=(--retry always) ;;
    server-zerortt) server_options+=(--early-data) ;;
    client-retry) ;;
    client-chacha20) client_options+=(--ciphers TLS_CHACHA20_POLY1305_SHA256) ;;
    client-keyupdate) client_options+=(--key-update 20) ;;
    client-v2) client_options+=(--quic-version 2) ;;
    client-http3) alpn=h3 ;;
    client-multiconnect | client-handshakeloss | client-handshakecorruption) connections=each ;;
    client-resumption) connections=two ;;
    client-zerortt)
        connections=two
        client_options+=(--early-data)
        ;;
    *)
        echo "run_endpoint: $TESTCASE is not supported as $ROLE" >&2
        exit $unsupported
        ;;
    esac
}

# take_address IP/BITS
take_address() {
    local ip=${1%/*}
    host_options+=(--addr "$1")
    [[ $ip != *:* ]] || ip="[$ip]"
    [ -z "$preferred_port" ] || server_options+=(--preferred "$ip:$preferred_port")
}

# Addresses, prefixes and routers of the interface, for millrace; the kernel keeps none.
take_over() {
    local line address gateway
    while read -r line; do
        address=$(awk '{ for (i = 1; i < NF; i++) if ($i ~ /^inet6?$/) print $(i + 1) }' <<<"$line")
        [[ $address == fe80:* ]] || take_address "$address"
    done < <(ip -o address show dev "$interface" scope global)
    for family in -4 -6; do
        gateway=$(ip $family route show dev "$interface" | awk '{ for (i = 1; i < NF; i++) if ($i == "via") { print $(i + 1); exit } }')
        [ -z "$gateway" ] || host_options+=(--gateway "$gateway")
    done
    ethtool -K "$interface" tx off rx off gso off tso off gro off >/dev/null 2>&1 || true # what arrives, arrives as sent
    echo 1 >"/proc/sys/net/ipv6/conf/$interface/disable_ipv6" 2>/dev/null || true
    ip address flush dev "$interface"
    ip link set "$interface" up
    host_options+=(--port "af_packet:$interface")
    [ -z "${SSLKEYLOGFILE:-}" ] || host_options+=(--keylog "$SSLKEYLOGFILE")
}

serve() {
    exec "$millrace" edge "${host_options[@]}" --listen-port $port --root "$www" --cert "$certs/cert.pem" \
        --key "$certs/priv.key" --hq "${server_options[@]}"
}

# get LIST: the URLs of a file over one connection.
get() {
    "$millrace" get --urls "$1" "${host_options[@]}" -o "$downloads" --alpn $alpn --timeout 60 "${client_options[@]}"
}

fetch() {
    local -a urls
    local list
    list=$(mktemp)
    read -ra urls <<<"$REQUESTS"
    if [ -e "$certs/ca.pem" ]; then
        client_options+=(--ca "$certs/ca.pem")
    else
        client_options+=(--insecure)
    fi
    [ $connections != two ] || client_options+=(--session "$list.session")
    case $connections in
    one)
        printf '%s\n' "${urls[@]}" >"$list"
        get "$list"
        ;;
    two)
        printf '%s\n' "${urls[0]}" >"$list"
        get "$list"
        printf '%s\n' "${urls[@]:1}" >"$list"
        get "$list"
        ;;
    each)
        for url in "${urls[@]}"; do
            printf '%s\n' "$url" >"$list"
            get "$list"
        done
        ;;
    esac
}

choose
# shellcheck disable=SC1091
[ ! -e /setup.sh ] || . /setup.sh # the simulator's routes
case $ROLE in
server)
    take_over
    serve
    ;;
client)
    [ ! -e /wait-for-it.sh ] || /wait-for-it.sh sim:57832 -s -t 30
    take_over
    fetch
    ;;
esac
