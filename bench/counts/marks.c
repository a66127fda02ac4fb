/* Where the counting begins and ends; built at run time: cc -shared -fPIC -o marks.so marks.c
 *
 * Instrumentation as a whole goes on and off: numbers of calls rise while it is on, even where nothing is collected.
 */
#include <valgrind/callgrind.h>

void begin_counting(void) {
    CALLGRIND_START_INSTRUMENTATION;
}

void end_counting(const char *loop) {
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_DUMP_STATS_AT(loop);
}
