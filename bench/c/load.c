// A lean HTTP/1.1 client that keeps a number of connections busy, and prints one line of JSON about it.
//
// load -p PORT [-a IP] [-c CONNECTIONS] [-d SECONDS] [-k] [-P PATH] [-h HOST] [-n VARIANTS]
//   -k  a new connection for each request (`Connection: close`)
//   -n  a `%` in PATH and HOST stands for a number below VARIANTS, another one with each request
// One thread, plain TCP, GET only, one request in flight per connection. Answers need a Content-Length.
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_MICROSECONDS 4000000
#define MOST_EVENTS 256
// Prime, so that it meets every variant before the first one comes again.
#define STRIDE 7919

enum stage { CLOSED, CONNECTING, HEAD, BODY };

struct connection {
    int fd;
    enum stage stage;
    int length;
    int closes;
    int64_t left;
    uint64_t began;
    char head[4096];
};

struct request {
    char *bytes;
    int length;
};

static struct sockaddr_in server;
static const char *path = "/", *host = "lab.test";
static int fresh_connections, variants = 1, next_variant, poll_fd;
static struct request *requests;
static uint64_t done, errors, bytes, *slowness;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void stop(const char *what) {
    perror(what);
    exit(1);
}

static void connect_to_server(struct connection *it) {
    int on = 1;
    it->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (it->fd < 0) stop("socket");
    setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(it->fd, (void *)&server, sizeof server) < 0 && errno != EINPROGRESS) stop("connect");
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = it};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, it->fd, &event);
    it->stage = CONNECTING;
}

static void disconnect(struct connection *it) {
    close(it->fd);
    it->fd = -1;
    it->stage = CLOSED;
}

static int send_request(struct connection *it) {
    next_variant = (next_variant + STRIDE) % variants;
    struct request *request = &requests[next_variant];
    it->stage = HEAD;
    it->length = 0;
    return send(it->fd, request->bytes, request->length, MSG_NOSIGNAL) == request->length;
}

static void begin(struct connection *it) {
    it->began = now();
    if (it->fd < 0) {
        connect_to_server(it);
    } else if (!send_request(it)) {
        errors++;
        disconnect(it);
        connect_to_server(it);
    }
}

static void fail(struct connection *it) {
    errors++;
    disconnect(it);
    begin(it);
}

static void finish(struct connection *it) {
    uint64_t microseconds = (now() - it->began) / 1000;
    done++;
    slowness[microseconds < LONGEST_MICROSECONDS ? microseconds : LONGEST_MICROSECONDS - 1]++;
    if (fresh_connections || it->closes) disconnect(it);
    begin(it);
}

static int64_t read_head(struct connection *it, const char *end) {
    int64_t content_length = -1;
    it->closes = 0;
    if (memcmp(it->head + 9, "200", 3)) errors++;
    for (char *line = it->head; line < end; line = strchr(line, '\n') + 1) {
        if (!strncasecmp(line, "content-length:", 15)) content_length = atoll(line + 15);
        if (!strncasecmp(line, "connection: close", 17)) it->closes = 1;
    }
    if (content_length < 0) {
        fprintf(stderr, "an answer without Content-Length: %s\n", it->head);
        exit(1);
    }
    return content_length;
}

// Each of these reads once and says whether there may be more to read for the same answer.
static int receive_body(struct connection *it) {
    // MSG_TRUNC throws the bytes away in the kernel: the client is not what is measured.
    size_t most = it->left > (4 << 20) ? (4 << 20) : it->left;
    ssize_t got = recv(it->fd, 0, most, MSG_TRUNC);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return fail(it), 0;
    bytes += got;
    it->left -= got;
    if (it->left) return 1;
    return finish(it), 0;
}

static int receive_head(struct connection *it) {
    int room = sizeof it->head - 1 - it->length;
    ssize_t got = recv(it->fd, it->head + it->length, room, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return fail(it), 0;
    it->length += got;
    it->head[it->length] = 0;
    bytes += got;
    char *end = memmem(it->head, it->length, "\r\n\r\n", 4);
    if (!end) {
        if (got < room) return 0;
        return fail(it), 0;
    }
    it->left = read_head(it, end) - (it->length - (end + 4 - it->head));
    if (it->left <= 0) return finish(it), 0;
    it->stage = BODY;
    return 1;
}

static void take(struct connection *it, uint32_t events) {
    if (it->stage == CONNECTING) {
        if (events & EPOLLERR) return fail(it);
        if (!(events & EPOLLOUT)) return;
        if (!send_request(it)) return fail(it);
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    int more = 1;
    while (more)
        more = it->stage == BODY ? receive_body(it) : receive_head(it);
}

static char *fill(const char *pattern, int number) {
    const char *mark = strchr(pattern, '%');
    char *text;
    int written = mark ? asprintf(&text, "%.*s%d%s", (int)(mark - pattern), pattern, number, mark + 1)
                       : asprintf(&text, "%s", pattern);
    if (written < 0) stop("asprintf");
    return text;
}

static void write_requests(void) {
    requests = calloc(variants, sizeof *requests);
    for (int number = 0; number < variants; number++) {
        char *this_path = fill(path, number), *this_host = fill(host, number);
        requests[number].length = asprintf(
            &requests[number].bytes,
            "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11)\r\nAccept: text/html,*/*;q=0.8\r\n"
            "Accept-Language: en\r\nAccept-Encoding: gzip, br\r\nReferer: http://lab.test/\r\n"
            "Cookie: sid=a1b2c3d4\r\nDNT: 1\r\nCache-Control: max-age=0\r\n%s\r\n",
            this_path, this_host,
            fresh_connections ? "Connection: close\r\n" : "Upgrade-Insecure-Requests: 1\r\n");
        free(this_path);
        free(this_host);
    }
}

static unsigned quantile(double share) {
    uint64_t wanted = done * share, seen = 0;
    for (unsigned microseconds = 0; microseconds < LONGEST_MICROSECONDS; microseconds++) {
        seen += slowness[microseconds];
        if (seen > wanted) return microseconds;
    }
    return 0;
}

static unsigned slowest(void) {
    unsigned microseconds = LONGEST_MICROSECONDS - 1;
    while (microseconds && !slowness[microseconds])
        microseconds--;
    return microseconds;
}

int main(int count, char **arguments) {
    const char *address = "127.0.0.1";
    int option, connections = 64;
    double seconds = 5;
    server.sin_family = AF_INET;
    while ((option = getopt(count, arguments, "a:p:c:d:kP:h:n:")) > 0)
        switch (option) {
        case 'a': address = optarg; break;
        case 'p': server.sin_port = htons(atoi(optarg)); break;
        case 'c': connections = atoi(optarg); break;
        case 'd': seconds = atof(optarg); break;
        case 'k': fresh_connections = 1; break;
        case 'P': path = optarg; break;
        case 'h': host = optarg; break;
        case 'n': variants = atoi(optarg); break;
        default: return 2;
        }
    if (variants < 1 || variants % STRIDE == 0 || inet_pton(AF_INET, address, &server.sin_addr) != 1)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    write_requests();
    slowness = calloc(LONGEST_MICROSECONDS, sizeof *slowness);
    poll_fd = epoll_create1(0);
    struct connection *all = calloc(connections, sizeof *all);
    uint64_t began = now(), end = began + seconds * 1e9;
    for (int i = 0; i < connections; i++) {
        all[i].fd = -1;
        begin(&all[i]);
    }
    struct epoll_event events[MOST_EVENTS];
    for (uint64_t time = began; time < end; time = now()) {
        int ready = epoll_wait(poll_fd, events, MOST_EVENTS, (end - time) / 1000000 + 1);
        for (int i = 0; i < ready; i++) {
            struct connection *it = events[i].data.ptr;
            if (it->fd >= 0) take(it, events[i].events);
        }
    }
    double took = (now() - began) / 1e9;
    printf("{\"requests\":%lu,\"seconds\":%.4f,\"errors\":%lu,\"bytes\":%lu,\"p50_us\":%u,\"p99_us\":%u,"
           "\"max_us\":%u}\n",
           done, took, errors, bytes, quantile(.5), quantile(.99), slowest());
}
