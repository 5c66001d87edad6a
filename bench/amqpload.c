/*
 * amqpload - a small AMQP 0-9-1 load generator and correctness checker.
 *
 *   gcc -O2 -pthread -o amqpload amqpload.c -ldl
 *
 * One thread drives every connection through epoll.  Connections are set up
 * with blocking calls (handshake, declarations) and then become non-blocking.
 *
 * Producers send pre-encoded messages: a batch buffer holds many complete
 * messages (method + header + body frames), and per message only the first 16
 * bytes of the body are patched before the batch is written:
 *
 *     body = | timestamp, ns, CLOCK_MONOTONIC (8) | producer (2) | sequence (6) | ...
 *
 * Consumers check these numbers per (queue, producer), so lost, duplicated and
 * reordered messages are counted.  The result is ONE line of JSON on stdout.
 *
 * See amqpload.md next to this file for the options.
 */
#include "amqpload.h"

/* ------------------------------------------------------------ load: state */

static Conn *conns;
static int nconns;

static struct {
    uint64_t published, expected, delivered, delivered_bytes, acked, requeued, confirmed, nacked, returned,
        redelivered, reordered, duplicated, unique, corrupt, blocked_events;
} total, at_start, at_stop;
static Histogram latency, confirm_latency;
static bool measuring;
static uint64_t last_delivery_at, first_delivery_at;

/* Write waiting control frames; false if the socket is full. */
static bool flush_out(Conn *c)
{
    while (c->out_pos < c->out.len) {
        ssize_t n = conn_send(c, c->out.data + c->out_pos, c->out.len - c->out_pos);
        if (n < 0) {
            if (errno != EAGAIN) conn_lost(c, strerror(errno));
            return false;
        }
        c->out_pos += n;
    }
    c->out_pos = c->out.len = 0;
    return true;
}

/* -------------------------------------------------------------- topology */

static char **routing_keys;
static int nrouting_keys;
static uint8_t *key_matches;        /* [key * queues + queue]: does a message with key reach queue? */
static int *key_fanout;             /* how many queues a key reaches */

static char *format_name(const char *format, ...)
{
    char *s;
    va_list args;
    va_start(args, format);
    if (vasprintf(&s, format, args) < 0) die("out of memory");
    va_end(args);
    return s;
}
static char *queue_name(int q) { return format_name("%s-%d", opt.prefix, q); }

static const char *words[3][4] = {
    {"stock", "bond", "fund", "cash"}, {"usd", "eur", "gbp", "jpy"}, {"nyse", "ibm", "lse", "db"}};

static char *topic_pattern(int i)   /* a mix of five kinds; with many bindings most match nothing */
{
    int kind = i % 5, n = i / 5;
    const char *a = words[0][n % 4], *b = words[1][n / 4 % 4], *c = words[2][n / 16 % 4];
    if (n >= 64) return format_name("%s.x%d.#", a, i);
    switch (kind) {
    case 0: return format_name("%s.%s.%s", a, b, c);
    case 1: return format_name("%s.*.%s", a, words[2][n / 4 % 4]);
    case 2: return format_name("%s.#", a);
    case 3: return format_name("*.%s.#", words[1][n % 4]);
    default: return format_name("#.%s", words[2][n % 4]);
    }
}

static bool topic_matches(const char *pattern, const char *key)
{
    if (!*pattern) return !*key;
    if (*pattern == '#') {
        const char *rest = pattern[1] ? pattern + 2 : pattern + 1;
        if (!*rest) return true;
        for (const char *k = key; ; k++) {
            if (topic_matches(rest, k)) return true;
            if (!(k = strchr(k, '.'))) return false;
        }
    }
    if (!*key) return !strcmp(pattern, "#");
    size_t pw = strcspn(pattern, "."), kw = strcspn(key, ".");
    if (!(pw == 1 && *pattern == '*') && (pw != kw || memcmp(pattern, key, pw))) return false;
    pattern += pw;
    key += kw;
    if (*pattern == '.' && *key == '.') return topic_matches(pattern + 1, key + 1);
    if (*pattern == '.' && !*key) return !strcmp(pattern, ".#");
    return !*pattern && !*key;
}

/*
 * Headers exchange: a message carries the three words of its key as headers, and binding i asks for all three (in
 * four of five cases), for two of them, or for any of two headers of which messages only have one.
 */
static const char *header_names[] = {"kind", "currency", "place"};

static bool headers_wanted(int i, const char *wanted[3])    /* fills in the words, NULL for any; true: all must match */
{
    bool any = i % 20 == 19, two = !any && i % 5 == 4;
    int n = i - i / 5;
    wanted[0] = any ? NULL : words[0][n % 4];
    wanted[1] = any || two ? NULL : words[1][n / 4 % 4];
    wanted[2] = words[2][(any ? i / 20 : n / 16) % 4];
    return !any;
}

static bool headers_match(int i, int key)
{
    const char *wanted[3], *have[] = {words[0][key % 4], words[1][key / 4 % 4], words[2][key / 16]};
    headers_wanted(i, wanted);
    for (int w = 0; w < 3; w++)
        if (wanted[w] && strcmp(wanted[w], have[w])) return false;
    return true;
}

static void put_string_field(Buf *b, const char *name, const char *value)
{
    put_short(b, name);
    put8(b, 'S');
    put_long(b, value, strlen(value));
}

static const char *exchange_name(void)
{
    static char *name;
    if (!opt.fanout && !opt.topic && !opt.headers) return "";
    if (!name) name = format_name("%s-exchange", opt.prefix);
    return name;
}

static void bind_queue(Conn *c, int q, const char *key, const Buf *arguments)
{
    Buf *b = &c->out;
    char *name = queue_name(q);
    size_t f = begin_method(b, 1, QUEUE_BIND);
    put16(b, 0);
    put_short(b, name);
    put_short(b, exchange_name());
    put_short(b, key);
    put8(b, 0);
    put_long(b, arguments->data, arguments->len);
    end_frame(b, f);
    expect(c, QUEUE_BIND_OK, NULL);
    free(name);
}

static void bind_headers(Conn *c, int i)
{
    const char *wanted[3];
    Buf arguments = {0};
    bool all = headers_wanted(i, wanted);
    put_string_field(&arguments, "x-match", all ? "all" : "any");
    for (int w = 0; w < 3; w++)
        if (wanted[w]) put_string_field(&arguments, header_names[w], wanted[w]);
    char *serial = format_name("%d", i);
    if (!all) put_string_field(&arguments, "serial", serial);
    bind_queue(c, i % opt.queues, "", &arguments);
    free(serial);
    free(arguments.data);
}

static void delete_topology(Conn *c)
{
    Buf *b = &c->out;
    for (int q = 0; q < opt.queues; q++) {
        char *name = queue_name(q);
        size_t f = begin_method(b, 1, QUEUE_DELETE);
        put16(b, 0);
        put_short(b, name);
        put8(b, 0);
        end_frame(b, f);
        expect(c, QUEUE_DELETE_OK, NULL);
        free(name);
    }
    if (*exchange_name()) {
        size_t f = begin_method(b, 1, EXCHANGE_DELETE);
        put16(b, 0);
        put_short(b, exchange_name());
        put8(b, 0);
        end_frame(b, f);
        expect(c, EXCHANGE_DELETE_OK, NULL);
    }
}

static void declare_topology(Conn *c)
{
    Buf *b = &c->out;
    bool durable = opt.persistent || opt.queue_type;
    for (int q = 0; q < opt.queues; q++) {
        char *name = queue_name(q);
        size_t f = begin_method(b, 1, QUEUE_DECLARE);
        put16(b, 0);
        put_short(b, name);
        put8(b, durable ? 2 : 0);
        Buf args = {0};
        if (opt.queue_type) put_string_field(&args, "x-queue-type", opt.queue_type);
        put_long(b, args.data, args.len);
        end_frame(b, f);
        free(args.data);
        expect(c, QUEUE_DECLARE_OK, NULL);
        free(name);
    }
    if (*exchange_name()) {
        size_t f = begin_method(b, 1, EXCHANGE_DECLARE);
        put16(b, 0);
        put_short(b, exchange_name());
        put_short(b, opt.fanout ? "fanout" : opt.topic ? "topic" : "headers");
        put8(b, durable ? 2 : 0);
        put32(b, 0);
        end_frame(b, f);
        expect(c, EXCHANGE_DECLARE_OK, NULL);
    }
    if (opt.fanout)
        for (int q = 0; q < opt.queues; q++) bind_queue(c, q, "", &(Buf){0});
    for (int i = 0; i < opt.topic; i++) {
        char *pattern = topic_pattern(i);
        bind_queue(c, i % opt.queues, pattern, &(Buf){0});
        free(pattern);
    }
    for (int i = 0; i < opt.headers; i++) bind_headers(c, i);
}

/* Which routing keys exist, and which queues each one reaches. */
static void plan_routing(void)
{
    nrouting_keys = opt.topic || opt.headers ? 64 : opt.fanout ? 1 : opt.queues;
    routing_keys = must_alloc(NULL, nrouting_keys * sizeof *routing_keys);
    key_fanout = must_alloc(NULL, nrouting_keys * sizeof *key_fanout);
    key_matches = must_alloc(NULL, (size_t)nrouting_keys * opt.queues);
    memset(key_matches, 0, (size_t)nrouting_keys * opt.queues);
    for (int k = 0; k < nrouting_keys; k++) {
        uint8_t *row = key_matches + (size_t)k * opt.queues;
        if (opt.topic || opt.headers) {
            routing_keys[k] = format_name("%s.%s.%s", words[0][k % 4], words[1][k / 4 % 4], words[2][k / 16]);
            for (int i = 0; i < opt.topic; i++) {
                char *pattern = topic_pattern(i);
                if (topic_matches(pattern, routing_keys[k])) row[i % opt.queues] = 1;
                free(pattern);
            }
            for (int i = 0; i < opt.headers; i++)
                if (headers_match(i, k)) row[i % opt.queues] = 1;
        } else if (opt.fanout) {
            routing_keys[k] = "";
            memset(row, 1, opt.queues);
        } else {
            routing_keys[k] = queue_name(k);
            row[k] = 1;
        }
        key_fanout[k] = 0;
        for (int q = 0; q < opt.queues; q++) key_fanout[k] += row[q];
    }
}

/* -------------------------------------------------------------- producer */

static void producer_setup(Conn *c)
{
    Buf *b = &c->out;
    if (opt.confirm) {
        size_t f = begin_method(b, 1, CONFIRM_SELECT);
        put8(b, 0);
        end_frame(b, f);
        expect(c, CONFIRM_SELECT_OK, NULL);
        uint64_t size = 1;
        while (size < (uint64_t)opt.confirm + 1) size *= 2;
        c->ring_mask = size - 1;
        c->ring_time = calloc(size, sizeof *c->ring_time);
    }

    /* With more queues than producers, producer i serves queues i, i+P, i+2P, ... */
    c->keys = must_alloc(NULL, nrouting_keys * sizeof *c->keys);
    if (opt.topic || opt.fanout || opt.headers)
        for (int k = 0; k < nrouting_keys; k++) c->keys[c->nkeys++] = k;
    else if (opt.queues <= opt.producers)
        c->keys[c->nkeys++] = c->index % opt.queues;
    else
        for (int k = c->index; k < nrouting_keys; k += opt.producers) c->keys[c->nkeys++] = k;

    size_t message_size = opt.body + 80;
    c->batch_max = BATCH_BYTES / message_size ? BATCH_BYTES / message_size : 1;
    c->slots = (c->batch_max + c->nkeys - 1) / c->nkeys * c->nkeys;
    c->slot_at = must_alloc(NULL, (c->slots + 1) * sizeof(size_t));
    c->slot_body = must_alloc(NULL, c->slots * sizeof(size_t));
    c->sent_by_key = calloc(nrouting_keys, sizeof(uint64_t));

    Buf m = {0};
    for (int s = 0; s < c->slots; s++) {
        c->slot_at[s] = m.len;
        size_t f = begin_method(&m, 1, BASIC_PUBLISH);
        put16(&m, 0);
        put_short(&m, exchange_name());
        put_short(&m, routing_keys[c->keys[s % c->nkeys]]);
        put8(&m, 0);
        end_frame(&m, f);
        f = begin_frame(&m, FRAME_HEADER, 1);
        put16(&m, 60);
        put16(&m, 0);
        put64(&m, opt.body);
        put16(&m, opt.headers ? 0x3000 : 0x1000);       /* headers, delivery-mode */
        if (opt.headers) {
            int key = c->keys[s % c->nkeys];
            Buf headers = {0};
            put_string_field(&headers, header_names[0], words[0][key % 4]);
            put_string_field(&headers, header_names[1], words[1][key / 4 % 4]);
            put_string_field(&headers, header_names[2], words[2][key / 16]);
            put_long(&m, headers.data, headers.len);
            free(headers.data);
        }
        put8(&m, opt.persistent ? 2 : 1);
        end_frame(&m, f);
        for (long left = opt.body, n; left > 0; left -= n) {
            n = left < (long)c->frame_max - 8 ? left : (long)c->frame_max - 8;
            f = begin_frame(&m, FRAME_BODY, 1);
            if (left == opt.body) c->slot_body[s] = f;
            memset(buf_room(&m, n), 'x', n);
            end_frame(&m, f);
        }
    }
    c->slot_at[c->slots] = m.len;
    c->batch = m.data;
}

/* How many messages may this producer send now, by all limits? */
static long producer_allowance(Conn *c, uint64_t now)
{
    long n = c->batch_max;
    if (stopping || c->blocked || c->flow_stopped) return 0;
    if (opt.confirm) {
        long free_window = opt.confirm - (long)(c->sent - c->confirmed_to);
        if (free_window < n) n = free_window;
    }
    if (opt.rate > 0) {
        double due = now < c->rate_start ? 0 : (now - c->rate_start) / c->rate_interval + 1 - c->sent;
        if (due < n) n = due;
    }
    if (opt.count && opt.count - (long)total.published < n) n = opt.count - (long)total.published;
    if (opt.inflight) {
        int fanout = key_fanout[c->keys[c->slot % c->nkeys]];
        long room = (opt.inflight - (long)(total.expected - total.unique)) / (fanout ? fanout : 1);
        if (room < n) n = room;
    }
    return n > 0 ? n : 0;
}

static void stamp(Conn *c, int slot, uint64_t now)
{
    uint8_t *body = c->batch + c->slot_body[slot];
    int key = c->keys[slot % c->nkeys];
    uint64_t intended = opt.rate > 0 ? c->rate_start + (uint64_t)(c->sent * c->rate_interval) : now;
    set64(body, intended);
    set64(body + 8, (uint64_t)c->index << 48 | c->sent);
    c->sent++;
    if (opt.confirm) c->ring_time[c->sent & c->ring_mask] = intended;
    c->sent_by_key[key]++;
    total.published++;
    total.expected += key_fanout[key];
}

/* Send until the socket is full, nothing is allowed, or a fair share is used. */
static bool producer_pump(Conn *c)
{
    for (int round = 0; round < 4; round++) {
        if (c->send_pos == c->send_end) {
            if (!flush_out(c)) { c->want_write = true; return false; }
            uint64_t now = now_ns();
            long n = producer_allowance(c, now);
            if (n > c->slots - c->slot) n = c->slots - c->slot;
            if (n == 0) return false;
            for (long i = 0; i < n; i++) stamp(c, c->slot + i, now);
            c->send_pos = c->slot_at[c->slot];
            c->send_end = c->slot_at[c->slot + n];
            c->slot = (c->slot + n) % c->slots;
        }
        ssize_t sent = conn_send(c, c->batch + c->send_pos, c->send_end - c->send_pos);
        if (sent < 0) {
            if (errno == EAGAIN) c->want_write = true;
            else conn_lost(c, strerror(errno));
            return false;
        }
        c->send_pos += sent;
    }
    return true;
}

static void on_confirm(Conn *c, uint64_t tag, bool multiple, bool nack, uint64_t now)
{
    if (tag > c->sent || (tag <= c->confirmed_to && !(multiple && tag == 0))) {
        add_error("producer %d: confirm for tag %lu which is not outstanding", c->index, (unsigned long)tag);
        return;
    }
    if (multiple && tag == 0) tag = c->sent;
    for (uint64_t t = multiple ? c->confirmed_to + 1 : tag; t <= tag; t++) {
        uint64_t *sent_at = &c->ring_time[t & c->ring_mask];
        if (!*sent_at) {
            if (!multiple) add_error("producer %d: tag %lu confirmed twice", c->index, (unsigned long)t);
            continue;
        }
        if (measuring) hist_add(&confirm_latency, now > *sent_at ? now - *sent_at : 0);
        *sent_at = 0;
        if (nack) total.nacked++;
        else total.confirmed++;
    }
    while (c->confirmed_to < c->sent && !c->ring_time[(c->confirmed_to + 1) & c->ring_mask]) c->confirmed_to++;
}

/* -------------------------------------------------------------- consumer */

/*
 * The sequence numbers from one producer in one queue: a bit for those seen, and a bit for those done with.  A
 * message is done with when it has been seen; under --requeue, when it is acknowledged at last.
 */
typedef struct { uint64_t *seen, *done, words, unique; } Stream;
static Stream **streams;            /* [queue] -> array indexed by producer */
static int max_producers;

/* Note a delivery; true if this message goes back to its queue. */
static bool stream_record(Conn *c, unsigned producer, uint64_t seq)
{
    static uint64_t random = 88172645463325252ull;      /* xorshift64: every run requeues the same way */
    if (producer >= (unsigned)max_producers) { total.corrupt++; return false; }
    Stream *s = &streams[c->queue][producer];
    uint64_t word = seq / 64, bit = 1ull << (seq % 64);
    if (word > (1ull << 30)) { total.corrupt++; return false; }
    if (word >= s->words) {
        uint64_t grown = (word + 1024) * 2;
        s->seen = must_alloc(s->seen, grown * 8);
        s->done = must_alloc(s->done, grown * 8);
        memset(s->seen + s->words, 0, (grown - s->words) * 8);
        memset(s->done + s->words, 0, (grown - s->words) * 8);
        s->words = grown;
    }
    if (s->seen[word] & bit && (!c->redelivered || (opt.requeue > 0 && s->done[word] & bit))) total.duplicated++;
    s->seen[word] |= bit;
    if (!c->redelivered) {
        if (seq + 1 <= c->last_seq[producer]) total.reordered++;
        c->last_seq[producer] = seq + 1;
    }
    if (opt.requeue > 0) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if ((random >> 32) < opt.requeue * 4294967296.0) return true;
    }
    if (!(s->done[word] & bit)) {
        s->done[word] |= bit;
        s->unique++;
        total.unique++;
    }
    return false;
}

static void consumer_setup(Conn *c)
{
    Buf *b = &c->out;
    c->queue = c->index % opt.queues;
    c->last_seq = calloc(max_producers, sizeof(uint64_t));
    if (opt.prefetch) {
        size_t f = begin_method(b, 1, BASIC_QOS);
        put32(b, 0);
        put16(b, opt.prefetch);
        put8(b, 0);
        end_frame(b, f);
        expect(c, BASIC_QOS_OK, NULL);
    }
    char *name = queue_name(c->queue), *tag = format_name("c%d", c->index);
    size_t f = begin_method(b, 1, BASIC_CONSUME);
    put16(b, 0);
    put_short(b, name);
    put_short(b, tag);
    put8(b, opt.auto_ack ? 2 : 0);
    put32(b, 0);
    end_frame(b, f);
    expect(c, BASIC_CONSUME_OK, NULL);
    free(name);
    free(tag);
}

static void send_ack(Conn *c, uint64_t tag, bool multiple)
{
    uint8_t *p = buf_room(&c->out, 21);
    memcpy(p, "\x01\0\x01\0\0\0\x0d\0\x3c\0\x50", 11);
    set64(p + 11, tag);
    p[19] = multiple;
    p[20] = FRAME_END;
}

static void send_requeue(Conn *c, uint64_t tag)             /* basic.nack with requeue */
{
    uint8_t *p = buf_room(&c->out, 21);
    memcpy(p, "\x01\0\x01\0\0\0\x0d\0\x3c\0\x78", 11);
    set64(p + 11, tag);
    p[19] = 2;
    p[20] = FRAME_END;
}

static void message_complete(Conn *c, uint64_t now)
{
    uint64_t sent_at = get64(c->head), id = get64(c->head + 8);
    c->in_body = false;
    if (!total.delivered) first_delivery_at = now;
    last_delivery_at = now;
    total.delivered++;
    total.delivered_bytes += c->first_body;
    if (c->redelivered) total.redelivered++;
    if (c->head_len < 16) { total.corrupt++; return; }
    bool back = stream_record(c, id >> 48, id & 0xFFFFFFFFFFFFull);
    if (measuring) hist_add(&latency, now > sent_at ? now - sent_at : 0);
    if (opt.auto_ack) return;
    if (back) {
        send_requeue(c, c->tag);
        total.requeued++;
        return;
    }
    if (++c->unacked >= (uint64_t)opt.multi_ack) {
        send_ack(c, c->tag, opt.multi_ack > 1);
        total.acked += c->unacked;
        c->unacked = 0;
    }
}

static void on_deliver(Conn *c, const uint8_t *args)
{
    args += 1 + args[0];                                /* consumer tag */
    c->tag = get64(args);
    c->redelivered = args[8];
    c->head_len = 0;
}

/* ---------------------------------------------------------------- frames */

static void on_method(Conn *c, const uint8_t *payload, uint32_t len, uint64_t now)
{
    const uint8_t *args = payload + 4;
    size_t f;
    switch (get32(payload)) {
    case BASIC_DELIVER: on_deliver(c, args); break;
    case BASIC_ACK: on_confirm(c, get64(args), args[8] & 1, false, now); break;
    case BASIC_NACK: on_confirm(c, get64(args), args[8] & 1, true, now); break;
    case BASIC_RETURN: total.returned++; break;
    case CHANNEL_FLOW:
        c->flow_stopped = !args[0];
        f = begin_method(&c->out, 1, CHANNEL_FLOW_OK);
        put8(&c->out, args[0]);
        end_frame(&c->out, f);
        break;
    case CONNECTION_BLOCKED: c->blocked = true; total.blocked_events++; break;
    case CONNECTION_UNBLOCKED: c->blocked = false; break;
    case CHANNEL_CLOSE: report_close(c, "channel", args, len - 4); break;
    case CONNECTION_CLOSE: report_close(c, "connection", args, len - 4); break;
    }
}

static void on_frame(Conn *c, int type, const uint8_t *payload, uint32_t len, uint64_t now)
{
    switch (type) {
    case FRAME_METHOD:
        on_method(c, payload, len, now);
        break;
    case FRAME_HEADER:
        c->first_body = c->body_left = get64(payload + 4);
        c->in_body = true;
        if (c->role == CONSUMER && c->body_left == 0) message_complete(c, now);
        break;
    case FRAME_BODY:
        for (uint32_t i = 0; c->head_len < 16 && i < len; i++) c->head[c->head_len++] = payload[i];
        if (len > c->body_left) { conn_lost(c, "more body than announced"); return; }
        c->body_left -= len;
        if (c->body_left == 0 && c->role == CONSUMER) message_complete(c, now);
        break;
    case FRAME_HEARTBEAT:
        end_frame(&c->out, begin_frame(&c->out, FRAME_HEARTBEAT, 0));
        break;
    }
}

static void conn_parse(Conn *c);

static void conn_read(Conn *c)
{
    do {                            /* under TLS until nothing is left that epoll does not know of */
        ssize_t n = conn_recv(c, c->in + c->in_len, c->in_cap - c->in_len);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            conn_lost(c, n ? strerror(errno) : "broker closed the TCP connection");
            return;
        }
        c->in_len += n;
        conn_parse(c);
    } while (c->tls && !c->closed && openssl.has_pending(c->tls));
}

/* Handle the whole frames in the input buffer. */
static void conn_parse(Conn *c)
{
    uint64_t now = now_ns();
    while (c->in_len - c->in_pos >= 8) {
        const uint8_t *f = c->in + c->in_pos;
        uint32_t len = get32(f + 3);
        if (len > c->frame_max) { conn_lost(c, "frame longer than frame-max"); return; }
        if (c->in_len - c->in_pos < len + 8u) break;
        if (f[7 + len] != FRAME_END) { conn_lost(c, "frame without frame-end octet"); return; }
        on_frame(c, f[0], f + 7, len, now);
        if (c->closed) return;
        c->in_pos += len + 8;
    }
    memmove(c->in, c->in + c->in_pos, c->in_len - c->in_pos);
    c->in_len -= c->in_pos;
    c->in_pos = 0;
    if (c->send_pos == c->send_end && !flush_out(c)) c->want_write = true;
}

/* ------------------------------------------------------------ event loop */

static int epoll_fd;

static void arm(Conn *c)
{
    if (c->want_write == c->armed) return;
    struct epoll_event e = {.events = EPOLLIN | (c->want_write ? EPOLLOUT : 0), .data.u32 = c - conns};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->armed = c->want_write;
}

static uint64_t next_due(void)      /* when does a rate-limited producer have work again? */
{
    uint64_t due = UINT64_MAX;
    for (int i = 0; i < opt.producers; i++) {
        uint64_t t = conns[i].rate_start + (uint64_t)(conns[i].sent * conns[i].rate_interval);
        if (t < due) due = t;
    }
    return due;
}

/* One turn: socket events, then every producer that may send.  Waits at most until `deadline`. */
static void turn(bool busy, uint64_t deadline, bool *still_busy)
{
    static unsigned first;          /* the producers take turns in being first: the window may not reach the last */
    struct epoll_event events[256];
    struct timespec timeout = {0};
    if (!busy) {
        uint64_t now = now_ns(), until = deadline;
        if (opt.rate > 0 && !stopping && next_due() < until) until = next_due();
        uint64_t wait = until > now ? until - now : 0;
        if (wait > 100000000) wait = 100000000;
        timeout.tv_nsec = wait;
    }
    int n = epoll_pwait2(epoll_fd, events, 256, &timeout, NULL);
    for (int i = 0; i < n; i++) {
        Conn *c = &conns[events[i].data.u32];
        if (c->closed) { epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL); continue; }
        if (events[i].events & EPOLLOUT) {
            c->want_write = false;
            if (c->role == CONSUMER && !flush_out(c)) c->want_write = true;
        }
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) conn_read(c);
        if (!c->closed && c->role == CONSUMER) arm(c);
    }
    *still_busy = false;
    first++;
    for (int i = 0; i < opt.producers; i++) {
        Conn *c = &conns[(first + i) % opt.producers];
        if (c->closed) continue;
        if (!c->want_write && producer_pump(c)) *still_busy = true;
        arm(c);
    }
}

/* ------------------------------------------------------ connections only */

enum { OPENER_THREADS = 16 };

static void *opener(void *arg)
{
    for (long i = (long)arg; i < opt.connections_only; i += OPENER_THREADS)
        conn_open(&conns[i], PRODUCER, i, 4096);
    return NULL;
}

static int run_connections_only(void)
{
    pthread_t threads[OPENER_THREADS];
    nconns = opt.connections_only;
    conns = calloc(nconns, sizeof *conns);
    uint64_t start = now_ns();
    for (long t = 0; t < OPENER_THREADS; t++) pthread_create(&threads[t], NULL, opener, (void *)t);
    for (int t = 0; t < OPENER_THREADS; t++) pthread_join(threads[t], NULL);
    double took = (now_ns() - start) / 1e9;
    fprintf(stderr, "amqpload: %d connections open after %.3f s\n", nconns, took);
    double cpu = process_cpu_seconds(opt.pid);
    sleep(opt.seconds);
    cpu = process_cpu_seconds(opt.pid) - cpu;
    int alive = 0;
    for (int i = 0; i < nconns; i++) {
        struct pollfd p = {.fd = conns[i].fd, .events = POLLIN};
        char byte;
        if (poll(&p, 1, 0) == 0 || recv(conns[i].fd, &byte, 1, MSG_PEEK) > 0) alive++;
    }
    printf("{\"connections\": %d, \"open_s\": %.3f, \"connections_per_s\": %.1f, \"alive_after\": %d, "
           "\"held_s\": %d, \"broker_cpu_while_idle_s\": %.4f, \"broker_rss_mb\": %.1f, \"broker_peak_rss_mb\": %.1f, "
           "\"errors\": []}\n",
           nconns, took, nconns / took, alive, opt.seconds, cpu, process_rss_mb(opt.pid, "VmRSS"),
           process_rss_mb(opt.pid, "VmHWM"));
    return alive == nconns ? 0 : 1;
}

/* ------------------------------------------------------------------ main */

static uint64_t count_lost(void)
{
    uint64_t lost = 0;
    if (opt.drain) return (uint64_t)opt.count > total.unique ? opt.count - total.unique : 0;
    for (int i = 0; i < nconns; i++) {
        Conn *c = &conns[i];
        if (c->role != PRODUCER) continue;
        for (int q = 0; q < opt.queues; q++) {
            uint64_t expected = 0;
            for (int k = 0; k < nrouting_keys; k++)
                if (key_matches[(size_t)k * opt.queues + q]) expected += c->sent_by_key[k];
            if (expected > streams[q][c->index].unique) lost += expected - streams[q][c->index].unique;
        }
    }
    return lost > total.nacked ? lost - total.nacked : 0;
}

static void print_result(double seconds, double broker_cpu, double own_cpu, bool drained)
{
    bool check = opt.consumers > 0;
    uint64_t delivered = at_stop.delivered - at_start.delivered, published = at_stop.published - at_start.published;
    uint64_t handled = delivered > published ? delivered : published, least = UINT64_MAX, most = 0;
    for (int i = 0; i < opt.producers; i++) {
        if (conns[i].sent < least) least = conns[i].sent;
        if (conns[i].sent > most) most = conns[i].sent;
    }
    printf("{\"published_per_s\": %.0f, \"delivered_per_s\": %.0f, \"confirmed_per_s\": %.0f, \"bytes_per_s\": %.0f, "
           "\"seconds\": %.3f, ",
           published / seconds, delivered / seconds, (at_stop.confirmed - at_start.confirmed) / seconds,
           (at_stop.delivered_bytes - at_start.delivered_bytes) / seconds, seconds);
    if (opt.producers) printf("\"published_by_one\": {\"least\": %lu, \"most\": %lu}, ", least, most);
    printf("\"published\": %lu, \"delivered\": %lu, \"acked\": %lu, \"confirmed\": %lu, \"nacked\": %lu, "
           "\"returned\": %lu, \"redelivered\": %lu, \"requeued\": %lu, \"blocked\": %lu, ",
           total.published, total.delivered, total.acked, total.confirmed, total.nacked, total.returned,
           total.redelivered, total.requeued, total.blocked_events);
    printf("\"lost\": %lu, \"duplicated\": %lu, \"reordered\": %lu, \"corrupt\": %lu, \"drained\": %s, ",
           check ? count_lost() : 0, total.duplicated, total.reordered, total.corrupt, drained ? "true" : "false");
    print_times("latency_us", &latency);
    print_times("confirm_latency_us", &confirm_latency);
    printf("\"own_cpu\": %.2f, ", own_cpu / seconds);
    print_broker(broker_cpu, seconds, "broker_us_per_msg", handled);
    print_errors();
}

static bool everything_settled(void)
{
    for (int i = 0; i < nconns; i++) {
        Conn *c = &conns[i];
        if (c->role == PRODUCER && (c->send_pos != c->send_end || (opt.confirm && c->confirmed_to != c->sent)))
            return false;
    }
    if (opt.consumers == 0) return true;
    if (opt.drain) return opt.count && total.unique >= (uint64_t)opt.count;
    return total.unique + total.nacked >= total.expected;
}

static int run_load(void)
{
    plan_routing();
    max_producers = opt.drain ? 1024 : opt.producers;
    streams = must_alloc(NULL, opt.queues * sizeof *streams);
    for (int q = 0; q < opt.queues; q++) streams[q] = calloc(max_producers, sizeof(Stream));

    Conn admin;
    conn_open(&admin, CONSUMER, -1, 65536);
    if (!opt.drain) {
        delete_topology(&admin);
        declare_topology(&admin);
    }

    nconns = opt.producers + opt.consumers;
    conns = calloc(nconns, sizeof *conns);
    bool busy = true;
    for (int i = 0; i < opt.producers; i++) {
        conn_open(&conns[i], PRODUCER, i, 256 * 1024);
        producer_setup(&conns[i]);
    }
    uint64_t start = now_ns();
    for (int i = 0; i < opt.consumers; i++) {
        Conn *c = &conns[opt.producers + i];
        conn_open(c, CONSUMER, i, 512 * 1024);
        if (opt.drain && i == 0) start = now_ns();
        consumer_setup(c);
    }
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < nconns; i++) {
        fcntl(conns[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conns[i].fd, &e);
    }

    /* Load phase: warm up, then measure. */
    bool fixed_amount = opt.count > 0 || opt.drain;
    if (!opt.drain) start = now_ns();
    for (int i = 0; i < opt.producers; i++) {
        conns[i].rate_interval = opt.rate > 0 ? 1e9 * opt.producers / opt.rate : 0;
        conns[i].rate_start = start + (opt.rate > 0 ? (uint64_t)(1e9 * i / opt.rate) : 0);
    }
    uint64_t measure_from = fixed_amount ? start : start + (uint64_t)(opt.warmup * 1e9);
    uint64_t stop_at = fixed_amount ? UINT64_MAX : measure_from + opt.seconds * 1000000000ull;
    double broker_cpu = process_cpu_seconds(opt.pid), own_cpu = own_cpu_seconds();
    uint64_t progress_at = start, progress = 0;
    /* Deliveries may have followed consume-ok into the input buffer: a whole window of them, so that no more comes. */
    for (int i = opt.producers; i < nconns; i++) {
        conn_parse(&conns[i]);
        if (conns[i].tls && !conns[i].closed) conn_read(&conns[i]);
        if (!conns[i].closed) arm(&conns[i]);
    }
    while (!stopping) {
        turn(busy, stop_at, &busy);
        uint64_t now = now_ns();
        if (!measuring && now >= measure_from) {
            measuring = true;
            measure_from = now;
            if (!fixed_amount) stop_at = now + opt.seconds * 1000000000ull;     /* it may have begun late */
            at_start = total;
            broker_cpu = process_cpu_seconds(opt.pid);
            own_cpu = own_cpu_seconds();
        }
        if (total.delivered + total.published + total.confirmed != progress) {
            progress = total.delivered + total.published + total.confirmed;
            progress_at = now;
        }
        if (now >= stop_at) break;
        if (fixed_amount && everything_settled() && (opt.drain || total.published >= (uint64_t)opt.count)) break;
        if (fixed_amount && now - progress_at > opt.drain_wait * 1e9) break;
    }
    if (fixed_amount && opt.publish_only && !error_count) {
        /* A channel.close is answered after everything before it was taken in. */
        for (int i = 0; i < opt.producers; i++) {
            Conn *c = &conns[i];
            fcntl(c->fd, F_SETFL, 0);
            write_all(c, c->batch + c->send_pos, c->send_end - c->send_pos);
            c->send_pos = c->send_end;
            size_t f = begin_method(&c->out, 1, CHANNEL_CLOSE);
            put16(&c->out, 200);
            put_short(&c->out, "");
            put32(&c->out, 0);
            end_frame(&c->out, f);
            expect(c, CHANNEL_CLOSE_OK, NULL);
        }
    }
    uint64_t end = opt.drain && last_delivery_at ? last_delivery_at : now_ns();
    at_stop = total;
    measuring = false;
    stopping = true;
    broker_cpu = process_cpu_seconds(opt.pid) - broker_cpu;
    own_cpu = own_cpu_seconds() - own_cpu;

    /* Drain phase: everything published must arrive. */
    progress_at = now_ns();
    while (!error_count && !opt.drain && !everything_settled()) {
        uint64_t before = total.delivered + total.confirmed;
        turn(busy, UINT64_MAX, &busy);
        if (total.delivered + total.confirmed != before) progress_at = now_ns();
        if (now_ns() - progress_at > opt.drain_wait * 1e9) break;
    }
    bool drained = everything_settled();
    if (!opt.auto_ack)
        for (int i = opt.producers; i < nconns; i++)
            if (conns[i].unacked && !conns[i].closed) {
                send_ack(&conns[i], conns[i].tag, true);
                total.acked += conns[i].unacked;
                flush_out(&conns[i]);
            }
    print_result((end - measure_from) / 1e9, broker_cpu, own_cpu, drained);
    fflush(stdout);

    bool leave = opt.keep || (opt.publish_only && !opt.drain);
    if (!leave && !error_count) delete_topology(&admin);
    bool clean = !error_count && (drained || opt.drain) && !total.duplicated && !total.reordered && !total.corrupt;
    return clean ? 0 : 1;
}

/* ----------------------------------------------------------------- churn */

/*
 * Every producer has a thread that makes something, waits for the answer, removes it, waits, and begins again.  A
 * cycle is one such pair.  What the answers say is checked, and at the end that what was removed is gone.
 */
typedef struct {
    pthread_t thread;
    int index;
    uint64_t cycles;                /* within the measured time */
    Histogram times;
    Conn conn;
} Worker;

static atomic_bool churn_measured, churn_over;
static pthread_barrier_t churn_ready;           /* every client is connected */
static char *churn_exchange;

static size_t begin_name(Buf *b, uint32_t method, const char *name)
{
    size_t f = begin_method(b, 1, method);
    put16(b, 0);
    put_short(b, name);
    return f;
}

static void churn_declare(Conn *c, const char *name, int flags)
{
    Buf *b = &c->out;
    size_t f = begin_name(b, QUEUE_DECLARE, name);
    put8(b, flags);
    put32(b, 0);
    end_frame(b, f);
}

static void churn_queue(Conn *c, const char *name)
{
    size_t n = strlen(name);
    churn_declare(c, name, opt.persistent ? 2 : 0);
    const uint8_t *made = expect(c, QUEUE_DECLARE_OK, NULL);
    if (made[0] != n || memcmp(made + 1, name, n) || get64(made + 1 + n))
        add_error("declared %s, and was told of another queue or of messages or consumers in it", name);
    size_t f = begin_name(&c->out, QUEUE_DELETE, name);
    put8(&c->out, 0);
    end_frame(&c->out, f);
    if (get32(expect(c, QUEUE_DELETE_OK, NULL))) add_error("deleted %s, and there were messages in it", name);
}

static void churn_binding(Conn *c, const char *queue, const char *key)
{
    for (int unbind = 0; unbind < 2; unbind++) {
        size_t f = begin_name(&c->out, unbind ? QUEUE_UNBIND : QUEUE_BIND, queue);
        put_short(&c->out, churn_exchange);
        put_short(&c->out, key);
        if (!unbind) put8(&c->out, 0);
        put32(&c->out, 0);
        end_frame(&c->out, f);
        expect(c, unbind ? QUEUE_UNBIND_OK : QUEUE_BIND_OK, NULL);
    }
}

static void conn_close(Conn *c)
{
    size_t f = begin_method(&c->out, 0, CONNECTION_CLOSE);
    put16(&c->out, 200);
    put_short(&c->out, "");
    put32(&c->out, 0);
    end_frame(&c->out, f);
    expect(c, CONNECTION_CLOSE_OK, NULL);
    conn_hang_up(c);
    free(c->in);
    free(c->out.data);
}

/* The key last unbound must lead nowhere: a mandatory message comes back. */
static void check_unbound(Conn *c, const char *key)
{
    Buf *b = &c->out;
    size_t f = begin_name(b, BASIC_PUBLISH, churn_exchange);
    put_short(b, key);
    put8(b, 1);
    end_frame(b, f);
    f = begin_frame(b, FRAME_HEADER, 1);
    put32(b, 60u << 16);
    put64(b, 0);
    put16(b, 0);
    end_frame(b, f);
    expect(c, BASIC_RETURN, NULL);
}

static void *churn_worker(void *arg)
{
    Worker *w = arg;
    bool connections = !strcmp(opt.churn, "connections"), queues = !strcmp(opt.churn, "queues");
    char *own = queue_name(w->index), *name = NULL;
    if (!connections) conn_open(&w->conn, PRODUCER, w->index, 4096);
    if (!connections && !queues) {
        churn_declare(&w->conn, own, opt.persistent ? 2 : 0);
        expect(&w->conn, QUEUE_DECLARE_OK, NULL);
    }
    pthread_barrier_wait(&churn_ready);
    for (uint64_t n = 0; n == 0 || !churn_over; n++) {
        free(name);
        name = format_name("%s-%lu", own, n);
        uint64_t start = now_ns();
        if (queues) churn_queue(&w->conn, name);
        else if (!connections) churn_binding(&w->conn, own, name);
        else {
            conn_open(&w->conn, PRODUCER, w->index, 4096);
            conn_close(&w->conn);
        }
        if (!churn_measured) continue;
        hist_add(&w->times, now_ns() - start);
        w->cycles++;
    }
    if (queues) {
        churn_declare(&w->conn, name, 1);               /* passive: it must be gone */
        if (get16(expect(&w->conn, CHANNEL_CLOSE, NULL)) != 404) add_error("queue %s is still there", name);
    } else if (!connections)
        check_unbound(&w->conn, name);
    if (!connections) conn_close(&w->conn);
    free(own);
    free(name);
    return NULL;
}

static void churn_topology(Conn *c, bool make)
{
    size_t f = begin_name(&c->out, make ? EXCHANGE_DECLARE : EXCHANGE_DELETE, churn_exchange);
    if (make) {
        put_short(&c->out, "direct");
        put8(&c->out, opt.persistent ? 2 : 0);
        put32(&c->out, 0);
    } else
        put8(&c->out, 0);
    end_frame(&c->out, f);
    expect(c, make ? EXCHANGE_DECLARE_OK : EXCHANGE_DELETE_OK, NULL);
}

static void nap(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static int run_churn(void)
{
    Worker *workers = calloc(opt.producers, sizeof *workers);
    Histogram *times = calloc(1, sizeof *times);
    Conn admin;
    uint64_t cycles = 0;
    churn_exchange = format_name("%s-churn", opt.prefix);
    opt.queues = opt.producers;
    conn_open(&admin, CONSUMER, -1, 4096);
    delete_topology(&admin);
    churn_topology(&admin, false);
    churn_topology(&admin, true);
    pthread_barrier_init(&churn_ready, NULL, opt.producers + 1);
    for (int i = 0; i < opt.producers; i++) {
        workers[i].index = i;
        pthread_create(&workers[i].thread, NULL, churn_worker, &workers[i]);
    }
    pthread_barrier_wait(&churn_ready);
    nap(opt.warmup);
    double cpu = process_cpu_seconds(opt.pid), own = own_cpu_seconds();
    uint64_t start = now_ns();
    churn_measured = true;
    nap(opt.seconds);
    churn_measured = false;
    double seconds = (now_ns() - start) / 1e9;
    cpu = process_cpu_seconds(opt.pid) - cpu;
    own = own_cpu_seconds() - own;
    churn_over = true;
    for (int i = 0; i < opt.producers; i++) {
        pthread_join(workers[i].thread, NULL);
        cycles += workers[i].cycles;
        for (int k = 0; k < 64 * 64; k++) times->bucket[k] += workers[i].times.bucket[k];
        times->count += workers[i].times.count;
        if (workers[i].times.max > times->max) times->max = workers[i].times.max;
    }
    churn_topology(&admin, false);
    delete_topology(&admin);
    conn_close(&admin);
    pthread_barrier_destroy(&churn_ready);
    free(workers);
    printf("{\"churn\": \"%s\", \"cycles\": %lu, \"cycles_per_s\": %.1f, \"seconds\": %.3f, ", opt.churn, cycles,
           cycles / seconds, seconds);
    print_times("cycle_us", times);
    printf("\"own_cpu\": %.2f, ", own / seconds);
    print_broker(cpu, seconds, "broker_us_per_cycle", cycles);
    print_errors();
    free(times);
    return error_count ? 1 : 0;
}

static void usage(void)
{
    fprintf(stderr,
        "usage: amqpload [--host H] [--port N] [--vhost V] [--user U] [--password P] [--prefix NAME] [--pid BROKER_PID]\n"
        "  load:    --producers P --consumers C --queues Q --body BYTES --seconds S --warmup S\n"
        "  messages: --persistent --queue-type TYPE --confirm WINDOW --inflight N --rate MSGS_PER_S\n"
        "  acks:    --auto-ack | --ack  --prefetch N --multi-ack K --requeue SHARE\n"
        "  routing: --fanout N | --topic N | --headers N\n"
        "  backlog: --publish-only --count X, then --drain --count X;  --keep leaves the queues in place\n"
        "  other:   --connections-only N | --churn queues|bindings|connections;  --drain-wait S  --tls\n");
    exit(2);
}

int main(int argc, char **argv)
{
    enum { HOST = 256, PORT, VHOST, USER, PASSWORD, PREFIX, QUEUE_TYPE, PRODUCERS, CONSUMERS, QUEUES, BODY, SECONDS,
           WARMUP, PERSISTENT, CONFIRM, ACK, AUTO_ACK, PREFETCH, MULTI_ACK, FANOUT, TOPIC, RATE, CONNECTIONS,
           PUBLISH_ONLY, DRAIN, DRAIN_WAIT, COUNT, KEEP, INFLIGHT, PID, HEADERS, REQUEUE, CHURN, TLS };
    static const struct option options[] = {
        {"host", 1, 0, HOST}, {"port", 1, 0, PORT}, {"vhost", 1, 0, VHOST}, {"user", 1, 0, USER},
        {"password", 1, 0, PASSWORD}, {"prefix", 1, 0, PREFIX}, {"queue-type", 1, 0, QUEUE_TYPE},
        {"producers", 1, 0, PRODUCERS}, {"consumers", 1, 0, CONSUMERS}, {"queues", 1, 0, QUEUES},
        {"body", 1, 0, BODY}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP},
        {"persistent", 0, 0, PERSISTENT}, {"confirm", 1, 0, CONFIRM}, {"ack", 0, 0, ACK},
        {"auto-ack", 0, 0, AUTO_ACK}, {"prefetch", 1, 0, PREFETCH}, {"multi-ack", 1, 0, MULTI_ACK},
        {"fanout", 1, 0, FANOUT}, {"topic", 1, 0, TOPIC}, {"rate", 1, 0, RATE},
        {"connections-only", 1, 0, CONNECTIONS}, {"publish-only", 0, 0, PUBLISH_ONLY}, {"drain", 0, 0, DRAIN},
        {"drain-wait", 1, 0, DRAIN_WAIT}, {"count", 1, 0, COUNT}, {"keep", 0, 0, KEEP},
        {"inflight", 1, 0, INFLIGHT}, {"pid", 1, 0, PID}, {"headers", 1, 0, HEADERS}, {"requeue", 1, 0, REQUEUE},
        {"churn", 1, 0, CHURN}, {"tls", 0, 0, TLS}, {0}};
    int queues_given = 0;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (o) {
        case HOST: opt.host = optarg; break;
        case PORT: opt.port = optarg; break;
        case VHOST: opt.vhost = optarg; break;
        case USER: opt.user = optarg; break;
        case PASSWORD: opt.password = optarg; break;
        case PREFIX: opt.prefix = optarg; break;
        case QUEUE_TYPE: opt.queue_type = optarg; break;
        case PRODUCERS: opt.producers = atoi(optarg); break;
        case CONSUMERS: opt.consumers = atoi(optarg); break;
        case QUEUES: opt.queues = queues_given = atoi(optarg); break;
        case BODY: opt.body = atol(optarg); break;
        case SECONDS: opt.seconds = atoi(optarg); break;
        case WARMUP: opt.warmup = atof(optarg); break;
        case PERSISTENT: opt.persistent = true; break;
        case CONFIRM: opt.confirm = atoi(optarg); break;
        case ACK: opt.auto_ack = false; break;
        case AUTO_ACK: opt.auto_ack = true; break;
        case PREFETCH: opt.prefetch = atoi(optarg); break;
        case MULTI_ACK: opt.multi_ack = atoi(optarg); break;
        case FANOUT: opt.fanout = atoi(optarg); break;
        case TOPIC: opt.topic = atoi(optarg); break;
        case RATE: opt.rate = atof(optarg); break;
        case CONNECTIONS: opt.connections_only = atoi(optarg); break;
        case PUBLISH_ONLY: opt.publish_only = true; break;
        case DRAIN: opt.drain = true; break;
        case DRAIN_WAIT: opt.drain_wait = atof(optarg); break;
        case COUNT: opt.count = atol(optarg); break;
        case KEEP: opt.keep = true; break;
        case INFLIGHT: opt.inflight = atol(optarg); break;
        case PID: opt.pid = atoi(optarg); break;
        case HEADERS: opt.headers = atoi(optarg); break;
        case REQUEUE: opt.requeue = atof(optarg); break;
        case CHURN: opt.churn = optarg; break;
        case TLS: opt.tls = true; break;
        default: usage();
        }
    if (optind != argc || !!opt.fanout + !!opt.topic + !!opt.headers > 1 || (opt.publish_only && opt.drain)) usage();
    if (opt.requeue < 0 || opt.requeue > 0.99 || (opt.requeue > 0 && (opt.auto_ack || opt.drain))) usage();
    if (opt.churn && strcmp(opt.churn, "queues") && strcmp(opt.churn, "bindings") && strcmp(opt.churn, "connections"))
        usage();
    if (opt.body < 16) opt.body = 16;
    if (opt.multi_ack < 1) opt.multi_ack = 1;
    if (opt.multi_ack > opt.prefetch && opt.prefetch) opt.multi_ack = opt.prefetch;
    if (opt.fanout) opt.queues = opt.fanout;
    int bindings = opt.topic + opt.headers;
    if (bindings && !queues_given) opt.queues = bindings < 10 ? bindings : 10;
    if (opt.publish_only) opt.consumers = 0;
    if (opt.drain) opt.producers = 0;
    if (opt.consumers < 0) opt.consumers = opt.queues;
    if (opt.producers > 65535 || opt.queues < 1) usage();

    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1);
    if (opt.tls) tls_load();
    if (opt.churn) return run_churn();
    return opt.connections_only ? run_connections_only() : run_load();
}
