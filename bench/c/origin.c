// The origin that all balancers forward to: one thread, many addresses, GET only, answers from memory.
//
// origin FIRST_PORT PORTS ADDRESSES
//   accepts on PORTS ports from FIRST_PORT on of each of 127.0.0.1, 127.0.0.2 … (ADDRESSES of them)
//   a path that begins with /big -> 10 MB, everything else -> 1 KiB
//   `Connection: close` in the request -> the answer says the same, and the connection is closed.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL 1024
#define BIG (10 * 1000 * 1000)
#define MOST_FILES 65536
#define MOST_EVENTS 256

struct connection {
    char request[8192];
    int length;
    const char *unsent;
    size_t left;
    int closes;
};

struct answer {
    char *bytes;
    size_t length;
};

static struct connection *connections[MOST_FILES];
static char accepts[MOST_FILES];
static struct answer small, small_and_close, big;
static int poll_fd, on = 1;

static struct answer compose(size_t body, const char *field) {
    char head[512];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 200 OK\r\nServer: lab\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
                          "Content-Type: text/html\r\nContent-Length: %zu\r\n%s\r\n",
                          body, field);
    struct answer it = {malloc(length + body), length + body};
    memcpy(it.bytes, head, length);
    memset(it.bytes + length, 'x', body);
    return it;
}

static void drop(int fd) {
    close(fd);
    free(connections[fd]);
    connections[fd] = NULL;
}

// Says whether the connection is there and has nothing left to send.
static int send_rest(int fd, struct connection *it) {
    while (it->left) {
        ssize_t sent = send(fd, it->unsent, it->left, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) drop(fd);
            return 0;
        }
        it->unsent += sent;
        it->left -= sent;
    }
    if (it->closes) drop(fd);
    return connections[fd] == it;
}

static int asks_to_close(const char *head, const char *end) {
    for (const char *line = head; line && line < end; line = memchr(line, '\n', end - line)) {
        if (*line == '\n') line++;
        if (!strncasecmp(line, "connection: close", 17)) return 1;
    }
    return 0;
}

static void answer_all(int fd, struct connection *it) {
    while (send_rest(fd, it)) {
        char *end = memmem(it->request, it->length, "\r\n\r\n", 4);
        if (!end) return;
        int head = end + 4 - it->request;
        it->closes = asks_to_close(it->request, end);
        struct answer *answer = it->closes ? &small_and_close : &small;
        if (head > 9 && !memcmp(it->request, "GET /big", 8)) answer = &big;
        memmove(it->request, it->request + head, it->length - head);
        it->length -= head;
        it->unsent = answer->bytes;
        it->left = answer->length;
    }
}

static void receive(int fd, struct connection *it) {
    for (;;) {
        ssize_t got = recv(fd, it->request + it->length, sizeof it->request - it->length, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return drop(fd);
        if (got < 0) return;
        it->length += got;
        int was_full = it->length == sizeof it->request;
        answer_all(fd, it);
        if (connections[fd] != it || !was_full) return;
    }
}

static void watch(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        if (fd >= MOST_FILES) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd] = calloc(1, sizeof *connections[fd]);
        watch(fd, EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP);
    }
}

static void open_listener(int host, int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) {
        fprintf(stderr, "port %d of 127.0.0.%d: %s\n", port, host, strerror(errno));
        exit(1);
    }
    accepts[fd] = 1;
    watch(fd, EPOLLIN);
}

static void take(int fd, uint32_t events) {
    struct connection *it = connections[fd];
    if (it && (events & EPOLLIN)) receive(fd, it);
    if (connections[fd] == it && it && (events & EPOLLOUT) && it->left) answer_all(fd, it);
    if (connections[fd] == it && it && (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))) drop(fd);
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    int first_port = atoi(arguments[1]), ports = atoi(arguments[2]), hosts = atoi(arguments[3]);
    signal(SIGPIPE, SIG_IGN);
    small = compose(SMALL, "");
    small_and_close = compose(SMALL, "Connection: close\r\n");
    big = compose(BIG, "");
    poll_fd = epoll_create1(0);
    for (int host = 1; host <= hosts; host++)
        for (int port = first_port; port < first_port + ports; port++)
            open_listener(host, port);
    puts("ready");
    fflush(stdout);
    struct epoll_event events[MOST_EVENTS];
    for (;;) {
        int ready = epoll_wait(poll_fd, events, MOST_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (accepts[fd]) accept_all(fd);
            else
                take(fd, events[i].events);
        }
    }
}
