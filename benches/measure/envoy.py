"""Envoy's settings."""

import json

TYPE = "type.googleapis.com/envoy."


def settings(port, upstream, token, access_log, certificate=None):
    """One listener, one cluster, one header; as JSON, which Envoy reads as it reads YAML."""
    return json.dumps({
        "static_resources": {
            "listeners": [_listener(port, token, access_log, certificate)],
            "clusters": [_cluster(upstream)],
        },
    })


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(port, token, access_log, certificate):
    chain = {"filters": [{
        "name": "http", "typed_config": _connection_manager(token, access_log),
    }]}
    if certificate:
        chain["transport_socket"] = _tls(certificate)
    return {"address": _address(port), "filter_chains": [chain]}


def _connection_manager(token, access_log):
    http = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "extensions.filters.http.router.v3.Router"
    log = "extensions.access_loggers.file.v3.FileAccessLog"
    return {
        "@type": TYPE + http,
        "stat_prefix": "public",
        "codec_type": "AUTO",
        "access_log": [{"name": "file", "typed_config": {
            "@type": TYPE + log, "path": str(access_log),
        }}],
        "http_filters": [{"name": "router", "typed_config": {"@type": TYPE + router}}],
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{
                "match": {"prefix": "/"}, "route": {"cluster": "codescan", "timeout": "300s"},
            }],
            "request_headers_to_add": [{
                "header": {"key": "Authorization", "value": f"Bearer {token}"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }],
        }]},
    }


def _tls(certificate):
    context = "extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {"name": "tls", "typed_config": {
        "@type": TYPE + context,
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3",
                           "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{
                "certificate_chain": {"filename": str(certificate.path)},
                "private_key": {"filename": str(certificate.key)},
            }],
        },
    }}


def _cluster(upstream):
    return {
        "name": "codescan",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "codescan", "endpoints": [{
            "lb_endpoints": [{"endpoint": {"address": _address(upstream)}}],
        }]},
    }
