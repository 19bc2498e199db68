/** Limits of failover, with their arithmetic. */

/** virsh answers in 30 ms; a loaded machine under emulation has taken 5 s to start QEMU. */
export const virshMilliseconds = 60_000;
/** A kernel reaches "no root file system" in 2 s on working KVM; a machine where it only pretends never does. */
export const probeMilliseconds = 20_000;
/** How often a console or a port is looked at while waiting. */
export const readinessPollMilliseconds = 250;
/** One try of a port. A guest's own network is microseconds away; under emulation it answers within a second. */
export const connectMilliseconds = 2_000;
/** Of a console, looked at for readiness and quoted in errors: a whole boot is 60 KiB. */
export const consoleBytesMax = 1 << 20;
/** Lines of the console quoted when a machine did not answer. */
export const consoleLinesQuoted = 12;
/** A screen of 3840 × 2160 × 3 bytes is 24 MiB. */
export const screenshotBytesMax = 64 << 20;
/** Isolated networks at once: 10.213.0.0/24 to 10.213.199.0/24. */
export const isolatedNetworksMax = 200;
