// Clients that send when a trace says, whether or not earlier answers have come (an open loop).
//
// clients PORT TRACE RECORDS START_US CONNECTIONS
//   TRACE    for each request, in order: when to send it (us after the start), its demand (us), 1 for POST
//   RECORDS  written at the end, for each: status (0: no answer), latency (us), endpoint, lateness (us)
//   START_US on the monotonic clock; latency counts from the intended moment, not from the real one
//   CONNECTIONS are opened before the start; more are when all are busy, so that no request waits for one
// One thread, plain TCP to 127.0.0.1, keep-alive, connections taken in turn. No second try of anything.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_US 3000000
#define MOST_EVENTS 256
#define NONE (-1)

struct planned {
    uint64_t at_us;
    uint32_t demand_us, post;
};

struct record {
    uint32_t status, latency_us, endpoint, late_us;
};

struct connection {
    int fd, connected, length;
    int request; // NONE while idle
    int64_t body_left;
    struct connection *next_idle, *previous_idle;
    struct connection *next_dropped;
    char head[4096];
};

static struct sockaddr_in server;
static struct planned *trace;
static struct record *records;
static struct connection **carriers, idle, *dropped;
static int poll_fd, requests, sent, answered, oldest;
static uint64_t start_us;

static uint64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

static void stop(const char *what) {
    perror(what);
    exit(1);
}

static void put_last(struct connection *it) {
    it->previous_idle = idle.previous_idle;
    it->next_idle = &idle;
    idle.previous_idle->next_idle = it;
    idle.previous_idle = it;
}

static void take_out(struct connection *it) {
    it->previous_idle->next_idle = it->next_idle;
    it->next_idle->previous_idle = it->previous_idle;
}

static void record(int request, int status, int endpoint) {
    struct record *it = &records[request];
    it->status = status;
    it->endpoint = endpoint;
    it->latency_us = now_us() - start_us - trace[request].at_us;
    carriers[request] = NULL;
    answered++;
}

static void disconnect(struct connection *it) {
    if (it->request == NONE) take_out(it);
    close(it->fd);
    it->fd = -1;
    // Not freed before all events of this turn are through: one may be about this connection.
    it->next_dropped = dropped;
    dropped = it;
}

static void fail(struct connection *it) {
    if (it->request != NONE) record(it->request, 0, 0);
    disconnect(it);
}

static struct connection *open_connection(void) {
    struct connection *it = calloc(1, sizeof *it);
    int on = 1;
    it->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (it->fd < 0) stop("socket");
    it->request = NONE;
    setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    it->connected = !connect(it->fd, (void *)&server, sizeof server);
    if (!it->connected && errno != EINPROGRESS) stop("connect");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = it};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, it->fd, &event);
    put_last(it);
    return it;
}

static void write_request(struct connection *it) {
    char text[512];
    struct planned *plan = &trace[it->request];
    int length = snprintf(text, sizeof text,
                          "%s /work HTTP/1.1\r\nHost: lab.test\r\nUser-Agent: bench\r\nAccept: */*\r\n"
                          "X-Request: %d\r\nX-Demand: %u\r\n%s",
                          plan->post ? "POST" : "GET", it->request, plan->demand_us,
                          plan->post ? "Content-Length: 9\r\n\r\nsome=form" : "\r\n");
    if (send(it->fd, text, length, MSG_NOSIGNAL) != length) fail(it);
}

static void send_next(uint64_t now) {
    struct connection *it = idle.next_idle != &idle ? idle.next_idle : open_connection();
    take_out(it);
    it->request = sent;
    it->length = 0;
    it->body_left = -1;
    carriers[sent] = it;
    records[sent].late_us = now - start_us - trace[sent].at_us;
    sent++;
    if (it->connected) write_request(it);
}

static int64_t field(const char *head, const char *name, int64_t otherwise) {
    const char *found = strcasestr(head, name);
    return found ? atoll(found + strlen(name)) : otherwise;
}

static void finish(struct connection *it) {
    record(it->request, atoi(it->head + 9), field(it->head, "\nX-Endpoint:", 0));
    if (strcasestr(it->head, "\nConnection: close")) return disconnect(it);
    it->request = NONE;
    put_last(it);
}

// Reads once, and says whether there may be more.
static int receive(struct connection *it) {
    if (it->request == NONE || it->body_left >= 0) {
        char body[4096];
        ssize_t got = recv(it->fd, body, sizeof body, 0);
        if (got < 0 && errno == EAGAIN) return 0;
        if (got <= 0 || it->request == NONE) return fail(it), 0;
        it->body_left -= got;
        if (it->body_left <= 0) return finish(it), 0;
        return 1;
    }
    ssize_t got = recv(it->fd, it->head + it->length, sizeof it->head - 1 - it->length, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return fail(it), 0;
    it->length += got;
    it->head[it->length] = 0;
    char *end = strstr(it->head, "\r\n\r\n");
    if (!end) return it->length < (int)sizeof it->head - 1 ? 1 : (fail(it), 0);
    end[2] = 0;
    it->body_left = field(it->head, "\nContent-Length:", 0) - (it->length - (end + 4 - it->head));
    if (it->body_left <= 0) return finish(it), 0;
    return 1;
}

static void take(struct connection *it, uint32_t events) {
    if (it->fd < 0) return;
    if (!it->connected) {
        if (events & EPOLLERR) return fail(it);
        if (!(events & EPOLLOUT)) return;
        it->connected = 1;
        if (it->request != NONE) write_request(it);
        if (it->fd < 0) return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))) return;
    // An answer and the end that follows it come as one event.
    while (it->fd >= 0 && receive(it)) {}
    if (it->fd >= 0 && it->request == NONE && (events & (EPOLLHUP | EPOLLRDHUP))) disconnect(it);
}

static void give_up_old(uint64_t now) {
    for (; oldest < sent; oldest++) {
        struct connection *it = carriers[oldest];
        if (it && now < start_us + trace[oldest].at_us + PATIENCE_US) return;
        if (it) fail(it);
    }
}

static void wait_and_take(void) {
    struct epoll_event events[MOST_EVENTS];
    uint64_t now = now_us(), next = UINT64_MAX;
    if (sent < requests) next = start_us + trace[sent].at_us;
    if (oldest < sent && start_us + trace[oldest].at_us + PATIENCE_US < next)
        next = start_us + trace[oldest].at_us + PATIENCE_US;
    uint64_t left = next > now ? next - now : 0;
    struct timespec until = {left / 1000000, left % 1000000 * 1000};
    int ready = epoll_pwait2(poll_fd, events, MOST_EVENTS, &until, NULL);
    for (int i = 0; i < ready; i++)
        take(events[i].data.ptr, events[i].events);
    while (dropped) {
        struct connection *it = dropped;
        dropped = it->next_dropped;
        free(it);
    }
    for (now = now_us(); sent < requests && start_us + trace[sent].at_us <= now; now = now_us())
        send_next(now);
    give_up_old(now);
}

static void read_trace(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file || fseek(file, 0, SEEK_END)) stop(path);
    requests = ftell(file) / sizeof *trace;
    rewind(file);
    trace = calloc(requests + 1, sizeof *trace);
    if (fread(trace, sizeof *trace, requests, file) != (size_t)requests) stop(path);
    fclose(file);
}

int main(int count, char **arguments) {
    if (count != 6) return 2;
    signal(SIGPIPE, SIG_IGN);
    // A timer of the kernel is up to 50 us late otherwise.
    prctl(PR_SET_TIMERSLACK, 1);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    read_trace(arguments[2]);
    start_us = strtoull(arguments[4], NULL, 10);
    records = calloc(requests + 1, sizeof *records);
    carriers = calloc(requests + 1, sizeof *carriers);
    idle.next_idle = idle.previous_idle = &idle;
    poll_fd = epoll_create1(0);
    for (int i = atoi(arguments[5]); i > 0; i--)
        open_connection();
    while (answered < requests)
        wait_and_take();
    FILE *file = fopen(arguments[3], "w");
    if (!file || fwrite(records, sizeof *records, requests, file) != (size_t)requests || fclose(file))
        stop(arguments[3]);
    return 0;
}
