/* tests/support/peer_fuzz_frames.c - see peer_fuzz.h: frames of the input. */
#include <string.h>

#include "quic/frame_multipath.h"
#include "tests/support/peer_fuzz.h"

#define FRAMES_MAX 8 /* in a packet */

static uint8_t filler[PEER_DATAGRAM];

uint8_t peer_fuzz_take(struct peer_fuzz *f)
{
    if (f->input.size == 0)
        return 0;
    f->input.size--;
    return *f->input.data++;
}

uint64_t peer_fuzz_take_word(struct peer_fuzz *f)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word = word << 8 | peer_fuzz_take(f);
    return word;
}

uint64_t peer_fuzz_near(struct peer_fuzz *f, uint64_t bound)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     63,
                                     64,
                                     16383,
                                     16384,
                                     (UINT64_C(1) << 30) - 1,
                                     UINT64_C(1) << 30,
                                     UINT64_C(1) << 31,
                                     UINT32_MAX,
                                     UINT64_C(1) << 32,
                                     UINT64_C(1) << 60,
                                     (UINT64_C(1) << 60) + 1,
                                     MR_VARINT_MAX / 2,
                                     MR_VARINT_MAX - 1,
                                     MR_VARINT_MAX};
    uint8_t how = peer_fuzz_take(f);
    uint64_t by = how % 8;

    if (how < f->tame)
        return MR_MIN(bound, MR_VARINT_MAX);
    how = peer_fuzz_take(f);
    if (how < 60)
        return MR_MIN(bound + 1 + by, MR_VARINT_MAX);
    if (how < 120)
        return bound > by ? MR_MIN(bound, MR_VARINT_MAX) - 1 - by : 0;
    if (how < 170)
        return peer_fuzz_take(f);
    if (how < 200)
        return (uint64_t)peer_fuzz_take(f) << 8 | peer_fuzz_take(f);
    if (how < 246)
        return edges[how % MR_COUNT_OF(edges)];
    return peer_fuzz_take_word(f) & MR_VARINT_MAX;
}

/* ------------------------------------------------------------------ fields */

/* Bytes that the input chooses by its first one. */
static void put_bytes(struct peer_fuzz *f, struct mr_writer *w, size_t size)
{
    size = MR_MIN(size, mr_writer_room(w));
    memset(filler, peer_fuzz_take(f), sizeof(filler));
    mr_write_bytes(w, filler, MR_MIN(size, sizeof(filler)));
}

/* Shall it be something that is not right? */
static bool is_wild(struct peer_fuzz *f)
{
    return peer_fuzz_take(f) >= f->tame;
}

static size_t take_size(struct peer_fuzz *f)
{
    uint8_t how = peer_fuzz_take(f);

    return how < 200 ? how % 64 : how < 230 ? 300 : how < 250 ? 1100 : 0;
}

/* Length and so many bytes, mostly. */
static void put_counted(struct peer_fuzz *f, struct mr_writer *w, size_t size)
{
    size = MR_MIN(size, mr_writer_room(w) > 3 ? mr_writer_room(w) - 3 : 0);
    mr_write_varint(w, peer_fuzz_near(f, size));
    put_bytes(f, w, size);
}

static uint64_t *offset_of(struct peer_fuzz *f, uint64_t stream)
{
    return &f->offset[stream % PEER_FUZZ_STREAMS];
}

static void put_stream_id(struct peer_fuzz *f, struct mr_writer *w, bool may_be_uni)
{
    uint8_t how = peer_fuzz_take(f);
    uint8_t ours = f->p->role == MR_SERVER ? 0 : 1; /* the initiator's bit of streams of ours */

    if (how < 128)
        f->stream = (uint64_t)(how % 2) << 2 | ours; /* bidirectional, ours */
    else if (how < 150)
        f->stream = (uint64_t)(how % 3) << 2 | (may_be_uni ? 2 : 0) | ours;
    else if (how < 200 - f->tame / 4)
        f->stream = how % PEER_FUZZ_STREAMS;
    else
        f->stream = peer_fuzz_near(f, ours);
    mr_write_varint(w, f->stream);
}

static void put_final_size(struct peer_fuzz *f, struct mr_writer *w)
{
    uint64_t next = *offset_of(f, f->stream);

    f->final_size = peer_fuzz_near(f, next);
    f->ended |= UINT32_C(1) << f->stream % PEER_FUZZ_STREAMS;
    mr_write_varint(w, f->final_size);
}

static void put_new_cid(struct peer_fuzz *f, struct mr_writer *w)
{
    uint64_t *next = &f->cid_next[f->path_id % PEER_FUZZ_PATHS];
    uint64_t sequence = peer_fuzz_near(f, *next);
    uint8_t how = peer_fuzz_take(f);
    uint8_t size = how < 240 ? PEER_CID_SIZE : how % 24;
    uint8_t cid[24 + MR_RESET_TOKEN];

    *next = MR_MAX(*next, MR_MIN(sequence, 1000) + 1);
    mr_write_varint(w, sequence);
    mr_write_varint(w, peer_fuzz_near(f, how % 16 < 15 ? sequence : 0));
    mr_write_u8(w, size);
    memset(cid, peer_fuzz_take(f) < 230 ? (int)(sequence & 0xff) : peer_fuzz_take(f), sizeof(cid));
    cid[0] = (uint8_t)f->path_id;
    mr_write_bytes(w, cid, size);
    mr_write_bytes(w, cid, MR_RESET_TOKEN);
}

static void put_ack(struct peer_fuzz *f, struct mr_writer *w, enum mr_space space, bool has_ecn)
{
    uint64_t next = f->path_id == 0 ? f->p->expected_pn[space]
                                    : f->p->expected_path_pn[f->path_id % PEER_PATHS];
    uint64_t largest = peer_fuzz_near(f, next == 0 ? 0 : next - 1);
    uint8_t count = peer_fuzz_take(f);
    uint64_t first = peer_fuzz_take(f) % 4 == 0 ? peer_fuzz_take(f) % 16 : 0;
    uint64_t left; /* packets below the range before */

    first = peer_fuzz_near(f, MR_MIN(first, largest));
    left = largest - MR_MIN(first, largest);
    count = count < 128 ? 0 : count < 250 ? count % 8 : 100;
    count = (uint8_t)peer_fuzz_near(f, MR_MIN(count, left / 8));
    mr_write_varint(w, largest);
    mr_write_varint(w, peer_fuzz_near(f, 0));
    mr_write_varint(w, count);
    mr_write_varint(w, first);
    for (uint8_t i = 0; i < count; i++) {
        uint8_t how = peer_fuzz_take(f);
        uint64_t gap = MR_MIN(how % 4u, left > 1 ? left - 2 : 0);
        uint64_t range = MR_MIN(how / 4u % 4u, left - MR_MIN(left, gap + 2));
        mr_write_varint(w, peer_fuzz_near(f, gap));
        mr_write_varint(w, peer_fuzz_near(f, range));
        left -= MR_MIN(left, gap + 2 + range);
    }
    for (int i = 0; has_ecn && i < 3; i++)
        mr_write_varint(w, peer_fuzz_near(f, i == 0 ? next : 0));
}

static void put_stream(struct peer_fuzz *f, struct mr_writer *w)
{
    uint8_t bits = peer_fuzz_take(f);
    size_t size = take_size(f);
    uint8_t *type = mr_write_later(w, 1);

    put_stream_id(f, w, true);
    uint32_t ended = UINT32_C(1) << f->stream % PEER_FUZZ_STREAMS;
    uint64_t next = *offset_of(f, f->stream);
    bool is_over = (f->ended & ended) != 0 && !is_wild(f);
    uint64_t offset = bits < 16 ? 0 : peer_fuzz_near(f, next); /* 0: again from the beginning */
    if (is_over)
        size = MR_MIN(size, (size_t)(next - MR_MIN(next, offset)));
    if (offset > 0)
        mr_write_varint(w, offset);
    if (type == NULL)
        return;
    *type = (uint8_t)(MR_FRAME_STREAM | (offset > 0 ? MR_STREAM_OFF : 0) |
                      (bits % 8 == 7 ? 0 : MR_STREAM_LEN));
    if (bits % 16 == 15 && !is_over && offset == next) {
        *type |= MR_STREAM_FIN;
        f->ended |= ended;
    }
    if ((*type & MR_STREAM_LEN) != 0)
        put_counted(f, w, size);
    else
        put_bytes(f, w, size);
    if (offset + size > next && offset <= next)
        *offset_of(f, f->stream) = offset + size;
}

/* That the endpoint is seen at, mostly. */
static void put_address(struct peer_fuzz *f, struct mr_writer *w, bool is_ipv6)
{
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 198, 18, 0, 1};

    if (!is_ipv6)
        mr_write_bytes(w, mapped + 12, 4);
    else if (peer_fuzz_take(f) % 4 == 0)
        mr_write_bytes(w, mapped, 16);
    else
        put_bytes(f, w, 16);
    mr_write_be(w, peer_fuzz_take(f), 2);
}

static void put_field(struct peer_fuzz *f, struct mr_writer *w, char field)
{
    switch (field) {
    case 's':
        put_stream_id(f, w, false);
        break;
    case 'S':
        put_stream_id(f, w, true);
        break;
    case 'z':
        put_final_size(f, w);
        break;
    case 'r':
        mr_write_varint(w, peer_fuzz_near(f, MR_MIN(f->final_size, *offset_of(f, f->stream))));
        break;
    case 'l':
        mr_write_varint(w, peer_fuzz_near(f, UINT64_C(1000) << peer_fuzz_take(f) % 16));
        break;
    case 'm':
        mr_write_varint(w, peer_fuzz_near(f, peer_fuzz_take(f) % 32));
        break;
    case 'd':
        put_counted(f, w, take_size(f));
        break;
    case 'D':
        put_bytes(f, w, take_size(f));
        break;
    case 'o':
        mr_write_varint(w, peer_fuzz_near(f, f->crypto_offset));
        f->crypto_offset += peer_fuzz_take(f) % 64;
        break;
    case 'e': /* the same of all frames about a stream */
        mr_write_varint(w, peer_fuzz_near(f, 7));
        break;
    case 'q':
        mr_write_varint(w, peer_fuzz_near(f, UINT64_C(1) + peer_fuzz_take(f) % 4));
        break;
    case 'n':
        put_new_cid(f, w);
        break;
    case '8':
        put_bytes(f, w, MR_PATH_DATA);
        break;
    case 'a':
        mr_write_bytes(w, f->challenge, MR_PATH_DATA);
        break;
    case 'x':
        f->sequence++;
        mr_write_varint(w, peer_fuzz_near(f, f->sequence));
        break;
    case '4':
    case '6':
        put_address(f, w, field == '6');
        break;
    case 'p':
        f->path_id = peer_fuzz_near(f, peer_fuzz_take(f) % PEER_FUZZ_PATHS);
        mr_write_varint(w, f->path_id);
        break;
    case 'u': /* microseconds of a delay */
        mr_write_varint(w, peer_fuzz_near(f, UINT64_C(1000) << peer_fuzz_take(f) % 14));
        break;
    default:
        mr_write_varint(w, peer_fuzz_near(f, peer_fuzz_take(f) % 4));
        break;
    }
}

/* ------------------------------------------------------------------ frames */

struct kind {
    uint64_t type;
    const char *fields; /* of put_field() */
    uint8_t weight;
};

static const struct kind kinds[] = {
    {MR_FRAME_STREAM, NULL, 42},
    {MR_FRAME_ACK, NULL, 28},
    {MR_FRAME_ACK_ECN, NULL, 14},
    {MR_FRAME_PADDING, "", 1},
    {MR_FRAME_PING, "", 6},
    {MR_FRAME_RESET_STREAM, "Sez", 8},
    {MR_FRAME_STOP_SENDING, "se", 8},
    {MR_FRAME_CRYPTO, "od", 8},
    {MR_FRAME_NEW_TOKEN, "d", 2},
    {MR_FRAME_MAX_DATA, "l", 5},
    {MR_FRAME_MAX_STREAM_DATA, "sl", 5},
    {MR_FRAME_MAX_STREAMS_BIDI, "m", 4},
    {MR_FRAME_MAX_STREAMS_UNI, "m", 3},
    {MR_FRAME_DATA_BLOCKED, "l", 2},
    {MR_FRAME_STREAM_DATA_BLOCKED, "Sl", 2},
    {MR_FRAME_STREAMS_BLOCKED_BIDI, "m", 2},
    {MR_FRAME_STREAMS_BLOCKED_UNI, "m", 1},
    {MR_FRAME_NEW_CONNECTION_ID, "n", 14},
    {MR_FRAME_RETIRE_CONNECTION_ID, "q", 8},
    {MR_FRAME_PATH_CHALLENGE, "8", 8},
    {MR_FRAME_PATH_RESPONSE, "a", 9},
    {MR_FRAME_PATH_RESPONSE, "8", 1},
    {MR_FRAME_CONNECTION_CLOSE, "vvd", 1},
    {MR_FRAME_CONNECTION_CLOSE_APP, "vd", 1},
    {MR_FRAME_HANDSHAKE_DONE, "", 2},
    {MR_FRAME_DATAGRAM, "D", 4},
    {MR_FRAME_DATAGRAM_LEN, "d", 6},
    {MR_FRAME_IMMEDIATE_ACK, "", 6},
    {MR_FRAME_ACK_FREQUENCY, "xvuv", 8},
    {MR_FRAME_RESET_STREAM_AT, "Sezr", 12},
    {MR_FRAME_OBSERVED_ADDRESS_4, "x4", 5},
    {MR_FRAME_OBSERVED_ADDRESS_6, "x6", 4},
    {MR_FRAME_PATH_ACK, NULL, 4},
    {MR_FRAME_PATH_ACK_ECN, NULL, 1},
    {MR_FRAME_PATH_ABANDON, "pv", 2},
    {MR_FRAME_PATH_STATUS_BACKUP, "px", 2},
    {MR_FRAME_PATH_STATUS_AVAILABLE, "px", 2},
    {MR_FRAME_PATH_NEW_CONNECTION_ID, "pn", 3},
    {MR_FRAME_PATH_RETIRE_CONNECTION_ID, "pq", 2},
    {MR_FRAME_MAX_PATH_ID, "m", 2},
    {MR_FRAME_PATHS_BLOCKED, "p", 1},
    {MR_FRAME_PATH_CIDS_BLOCKED, "pq", 1},
};

static void put_kind(struct peer_fuzz *f, struct mr_writer *w, enum mr_space space,
                     const struct kind *kind)
{
    f->path_id = 0;
    if (kind->type == MR_FRAME_STREAM) {
        put_stream(f, w);
        return;
    }
    mr_write_varint(w, kind->type);
    if (kind->type == MR_FRAME_PATH_ACK || kind->type == MR_FRAME_PATH_ACK_ECN)
        put_field(f, w, 'p');
    if (kind->fields == NULL) {
        put_ack(f, w, space, kind->type == MR_FRAME_ACK_ECN || kind->type == MR_FRAME_PATH_ACK_ECN);
        return;
    }
    for (const char *field = kind->fields; *field != '\0'; field++)
        put_field(f, w, *field);
}

#define PATH_KINDS 10 /* the last of them are of several paths at a time */

static bool has_multipath(const struct peer_fuzz *f)
{
    return (f->p->options.extensions & f->p->options.partner_extensions & MR_EXTENSION_MULTIPATH) !=
           0;
}

/* May the partner send it, as things are? */
static bool is_expected(const struct peer_fuzz *f, enum mr_space space, uint64_t type)
{
    const struct peer *p = f->p;
    uint32_t ours = p->options.extensions;

    switch (type) {
    case MR_FRAME_CRYPTO:
        return space != MR_SPACE_APP;
    case MR_FRAME_ACK:
    case MR_FRAME_ACK_ECN:
        return p->expected_pn[space] > 0;
    case MR_FRAME_PATH_ACK:
    case MR_FRAME_PATH_ACK_ECN:
        return has_multipath(f) && p->expected_pn[space] > 0;
    case MR_FRAME_NEW_TOKEN:
    case MR_FRAME_HANDSHAKE_DONE:
        return p->role == MR_CLIENT;
    case MR_FRAME_DATAGRAM:
    case MR_FRAME_DATAGRAM_LEN:
        return p->options.datagram_max > 0;
    case MR_FRAME_IMMEDIATE_ACK:
    case MR_FRAME_ACK_FREQUENCY:
        return (ours & MR_EXTENSION_ACK_FREQUENCY) != 0;
    case MR_FRAME_RESET_STREAM_AT:
        return (ours & MR_EXTENSION_RESET_STREAM_AT) != 0;
    case MR_FRAME_OBSERVED_ADDRESS_4:
    case MR_FRAME_OBSERVED_ADDRESS_6:
        return (ours & MR_EXTENSION_OBSERVED) != 0 &&
               (p->options.partner_extensions & MR_EXTENSION_OBSERVES) != 0;
    default:
        return type < MR_FRAME_PATH_ABANDON || type > MR_FRAME_PATH_CIDS_BLOCKED ||
               has_multipath(f);
    }
}

/* What belongs into a packet of the handshake, mostly. */
static void put_handshake_frame(struct peer_fuzz *f, struct mr_writer *w, enum mr_space space)
{
    static const uint8_t types[] = {MR_FRAME_CRYPTO, MR_FRAME_ACK, MR_FRAME_CRYPTO, MR_FRAME_PING,
                                    MR_FRAME_ACK};
    uint8_t type = types[peer_fuzz_take(f) % MR_COUNT_OF(types)];

    for (size_t i = 0; i < MR_COUNT_OF(kinds); i++) {
        if (kinds[i].type == type)
            put_kind(f, w, space, &kinds[i]);
    }
}

static void put_raw(struct peer_fuzz *f, struct mr_writer *w)
{
    for (uint8_t count = peer_fuzz_take(f) % 16; count > 0; count--)
        mr_write_u8(w, peer_fuzz_take(f));
}

static void put_frame(struct peer_fuzz *f, struct mr_writer *w, enum mr_space space)
{
    uint8_t choice = peer_fuzz_take(f);
    size_t i = 0;

    if (space != MR_SPACE_APP && choice < f->tame) {
        put_handshake_frame(f, w, space);
        return;
    }
    if (space == MR_SPACE_APP && choice % 4 == 3 && has_multipath(f)) {
        put_kind(f, w, space,
                 &kinds[MR_COUNT_OF(kinds) - 1 - peer_fuzz_take(f) % (size_t)PATH_KINDS]);
        return;
    }
    while (i < MR_COUNT_OF(kinds) && choice >= kinds[i].weight)
        choice = (uint8_t)(choice - kinds[i++].weight);
    if ((i == MR_COUNT_OF(kinds) || !is_expected(f, space, kinds[i].type)) && !is_wild(f))
        mr_write_u8(w, MR_FRAME_PING);
    else if (i < MR_COUNT_OF(kinds))
        put_kind(f, w, space, &kinds[i]);
    else
        put_raw(f, w);
}

void peer_fuzz_write_frames(struct peer_fuzz *f, enum mr_space space, struct mr_writer *w)
{
    uint8_t how = peer_fuzz_take(f);
    unsigned count = how < 128 ? 1 : 1 + how % FRAMES_MAX;

    for (unsigned i = 0; i < count; i++) {
        struct mr_writer before = *w;

        put_frame(f, w, space);
        if (!mr_write_whole(w, before))
            break;
    }
    size_t size = mr_writer_size(w);
    if (size > 0 && is_wild(f)) /* one byte of it is another */
        w->start[peer_fuzz_take_word(f) % size] = peer_fuzz_take(f);
}

static size_t insert_frame(struct peer_fuzz *f, enum mr_space space, uint8_t *frames, size_t size,
                           size_t room)
{
    static uint8_t more[PEER_DATAGRAM];
    struct mr_writer w = mr_writer(more, MR_MIN(room - size, sizeof(more)));

    put_frame(f, &w, space);
    memmove(frames + mr_writer_size(&w), frames, size);
    memcpy(frames, more, mr_writer_size(&w));
    return size + mr_writer_size(&w);
}

size_t peer_fuzz_change_frames(struct peer_fuzz *f, enum mr_space space, uint8_t *frames,
                               size_t size, size_t room)
{
    for (unsigned count = 1 + peer_fuzz_take(f) % 3; count > 0; count--) {
        uint8_t how = peer_fuzz_take(f);
        size_t at = size == 0 ? 0 : peer_fuzz_take_word(f) % size;

        if (how >= 160 && how < 250)
            size = insert_frame(f, space, frames, size, room);
        else if (size == 0 || how >= 253)
            break;
        else if (how < 60)
            frames[MR_MIN(at, (size_t)how)] ^= (uint8_t)(1 << peer_fuzz_take(f) % 8); /* in front */
        else if (how < 120)
            frames[at] = peer_fuzz_take(f);
        else if (how < 140)
            frames[at]++;
        else if (how < 160)
            frames[at]--;
        else
            size = at; /* cut */
    }
    return size;
}
