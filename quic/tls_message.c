#include "quic/tls_message.h"

#include "base/bytes.h"
#include "base/compiler.h"

static size_t take_header(struct mr_tls_message *message, const uint8_t *bytes, size_t size)
{
    size_t used = 0;

    while (message->header_size < MR_TLS_MESSAGE_HEADER && used < size)
        message->header[message->header_size++] = bytes[used++];
    if (used > 0 && message->header_size == MR_TLS_MESSAGE_HEADER)
        message->body_left = mr_load_be24(message->header + 1);
    return used;
}

size_t mr_tls_message_next(struct mr_tls_message *message, const uint8_t *bytes, size_t size)
{
    bool is_over = message->header_size == MR_TLS_MESSAGE_HEADER && message->body_left == 0;

    if (is_over && size > 0)
        message->header_size = 0;

    size_t used = take_header(message, bytes, size);
    size_t body = MR_MIN(size - used, (size_t)message->body_left);

    message->body_left -= (uint32_t)body;
    return used + body;
}

uint32_t mr_tls_message_length(const struct mr_tls_message *message)
{
    if (message->header_size < MR_TLS_MESSAGE_HEADER)
        return 0;
    return mr_load_be24(message->header + 1);
}
