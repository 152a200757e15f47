/* CSVLogger, as in Keras 3 (keras.src.callbacks.csv_logger): a line of figures for each epoch, counted from
 * 0.
 *
 * The file is complete after every epoch. Its columns are those of the first epoch's logs, in their order, or
 * those of the header found where lines are appended; a figure that an epoch lacks is written nan. What the file
 * held before stays until the first line is written, so that a run that is taken up again can cut the file back to
 * where its backup was made and go on there. */
#include "train/monitor.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct csv_logger {
    cnn_callback head;
    char *filename, *separator;
    bool append;
    /* state */
    FILE *file;
    char *header; /* the columns' names as in the file; NULL: not known yet */
    bool begun;   /* a line of this run has been written */
    bool ended;   /* the last line found in the file has its end */
    double size;  /* of the file, when the backup was made; NaN if it is a device or pipe */
} csv_logger;

static cnn_status write_error(csv_logger *c, int error) {
    if (c->file) fclose(c->file);
    c->file = NULL;
    return cnn_fail(CNN_ERROR_IO, "CSVLogger: cannot write %s: %s", c->filename,
                    strerror(error ? error : EIO));
}

/* The first line of the file that is there, without its end; and whether the last one has its end. */
static cnn_status read_header(csv_logger *c) {
    FILE *old = fopen(c->filename, "rb");
    if (!old) return errno == ENOENT ? CNN_OK : write_error(c, errno);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length = getline(&line, &capacity, old);
    cnn_status status = CNN_OK;
    if (length > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        c->ended = fseek(old, -1, SEEK_END) != 0 || fgetc(old) == '\n';
        if (*line && !(c->header = cnn_strdup(line))) status = cnn_fail_memory((size_t)length);
    }
    free(line);
    fclose(old);
    return status;
}

static cnn_status begin(csv_logger *c) {
    if (c->file) fclose(c->file);
    c->file = NULL;
    cnn_free(c->header);
    c->header = NULL;
    c->begun = false;
    c->ended = true;
    if (c->append) CNN_TRY(read_header(c));
    int fd = open(c->filename, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return write_error(c, errno);
    c->file = fdopen(fd, "ab");
    if (c->file) return CNN_OK;
    int error = errno;
    close(fd);
    return write_error(c, error);
}

/* Before the first line. Devices and pipes have nothing to cut. */
static cnn_status start(csv_logger *c) {
    if (c->begun) return CNN_OK;
    if (!c->append && ftruncate(fileno(c->file), 0) != 0 && errno != EINVAL) return write_error(c, errno);
    if (!c->ended) fputc('\n', c->file);
    c->begun = true;
    return CNN_OK;
}

static cnn_status make_header(csv_logger *c, const cnn_logs *logs) {
    cnn_text text = {0};
    cnn_text_add(&text, "epoch");
    for (int i = 0; logs && i < logs->count; i++) cnn_text_add(&text, "%s%s", c->separator, logs->names[i]);
    char *header = cnn_text_take(&text);
    if (header) c->header = cnn_strdup(header);
    free(header);
    return c->header ? CNN_OK : cnn_fail_memory(64);
}

/* The column whose name is the `length` characters at name. */
static void write_column(csv_logger *c, const char *name, size_t length, int epoch, const cnn_logs *logs) {
    char text[CNN_NUMBER_TEXT];
    if (length == 5 && memcmp(name, "epoch", 5) == 0) {
        fprintf(c->file, "%d", epoch);
        return;
    }
    for (int i = 0; logs && i < logs->count; i++)
        if (strlen(logs->names[i]) == length && memcmp(logs->names[i], name, length) == 0) {
            fputs(cnn_number_text(text, logs->values[i]), c->file);
            return;
        }
    fputs("nan", c->file);
}

static cnn_status end_epoch(csv_logger *c, int epoch, const cnn_logs *logs) {
    if (!c->file) return CNN_OK;
    CNN_TRY(start(c));
    if (!c->header) {
        CNN_TRY(make_header(c, logs));
        fprintf(c->file, "%s\n", c->header);
    }
    for (const char *name = c->header;;) {
        const char *next = strstr(name, c->separator);
        write_column(c, name, next ? (size_t)(next - name) : strlen(name), epoch, logs);
        if (!next) break;
        fputs(c->separator, c->file);
        name = next + strlen(c->separator);
    }
    fputc('\n', c->file);
    errno = 0;
    return fflush(c->file) != 0 || ferror(c->file) ? write_error(c, errno) : CNN_OK;
}

static cnn_status end(csv_logger *c) {
    if (c->file) CNN_TRY(start(c));
    FILE *file = c->file;
    c->file = NULL;
    return file && fclose(file) != 0 ? write_error(c, errno) : CNN_OK;
}

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    csv_logger *c = (csv_logger *)callback;
    if (event == CNN_TRAIN_BEGIN) return begin(c);
    if (event == CNN_EPOCH_END) return end_epoch(c, index, logs);
    if (event == CNN_TRAIN_END) return end(c);
    return CNN_OK;
}

/* The lines that the backup counts on are on disk before it is. */
static cnn_status backup(cnn_callback *callback) {
    csv_logger *c = (csv_logger *)callback;
    struct stat info;
    c->size = NAN;
    if (!c->file || fstat(fileno(c->file), &info) != 0 || !S_ISREG(info.st_mode)) return CNN_OK;
    c->size = (double)info.st_size;
    return fsync(fileno(c->file)) == 0 || errno == EINVAL || errno == EROFS ? CNN_OK : write_error(c, errno);
}

/* Cuts off what was written after the backup was made. */
static cnn_status restore(cnn_callback *callback) {
    csv_logger *c = (csv_logger *)callback;
    struct stat info;
    if (!c->file || isnan(c->size) || (!c->begun && !c->append)) return CNN_OK;
    if (fstat(fileno(c->file), &info) != 0) return write_error(c, errno);
    if (!S_ISREG(info.st_mode)) return CNN_OK;
    if ((double)info.st_size >= c->size)
        return ftruncate(fileno(c->file), (off_t)c->size) == 0 ? CNN_OK : write_error(c, errno);
    cnn_callback_say(callback, "CSVLogger: lines of earlier epochs are missing from %s", c->filename);
    cnn_free(c->header);
    c->header = NULL;
    return read_header(c);
}

static cnn_status check(const cnn_callback *callback) {
    const csv_logger *c = (const csv_logger *)callback;
    if (!c->filename || !*c->filename)
        return cnn_fail(CNN_ERROR_ARGUMENT, "CSVLogger: 'filename' must be the name of a file");
    if (!c->separator || !*c->separator)
        return cnn_fail(CNN_ERROR_ARGUMENT, "CSVLogger: 'separator' must not be empty");
    return CNN_OK;
}

static void close_callback(cnn_callback *callback) {
    csv_logger *c = (csv_logger *)callback;
    if (c->file) fclose(c->file);
    cnn_free(c->header);
}

static const cnn_param state[] = {
    CNN_PARAM(STRING, csv_logger, header, NULL),
    CNN_PARAM(BOOL, csv_logger, begun, NULL),
    CNN_PARAM(BOOL, csv_logger, ended, NULL),
    CNN_PARAM(FLOAT, csv_logger, size, NULL, .high = INFINITY, .nullable = true),
    {0}};

static const cnn_param params[] = {
    CNN_PARAM(STRING, csv_logger, filename, NULL, .help = "file to write"),
    CNN_PARAM(STRING, csv_logger, separator, "\",\"", .help = "what stands between columns"),
    CNN_PARAM(BOOL, csv_logger, append, "false",
              .help = "go on with the file that is there instead of overwriting it"),
    {0}};

extern const cnn_callback_class cnn_callback_csv_logger;
/*** Writes the figures of each epoch to a file of comma-separated values.
The first column is the epoch, counted from 0, as in Keras. Each line is in the file when its epoch ends. With append
lines follow those that are there.
@class cnn.callbacks.CSVLogger
@raise a file that cannot be written
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {1}, kernel_initializer = "ones"}}
model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}
model:fit{cnn.ones{8, 1}, cnn.zeros{8, 1}, epochs = 2, verbose = 0, callbacks = {cnn.callbacks.CSVLogger{"log.csv"}}}
for line in io.lines "log.csv" do print(line) end
--> epoch,loss
--> 0,1
--> 1,1
*/
const cnn_callback_class cnn_callback_csv_logger = {
    .class = CNN_CLASS("callback", "CSVLogger", NULL, csv_logger, params),
    .check = check,
    .on = on,
    .close = close_callback,
    .state = state,
    .backup = backup,
    .restore = restore};
