//! CRC-32C (Castagnoli), as the boot header and every flash record use it.

/// The checksum of `data`: reflected polynomial 0x82F63B78, start and final XOR all ones.
#[must_use]
pub fn checksum(data: &[u8]) -> u32 {
    let table = table();
    let mut crc = u32::MAX;
    for byte in data {
        crc = (crc >> 8) ^ table[usize::from((crc as u8) ^ byte)];
    }
    !crc
}

fn table() -> [u32; 256] {
    std::array::from_fn(|index| {
        let mut value = index as u32;
        for _ in 0..8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
        }
        value
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_value_of_the_catalogue() {
        assert_eq!(super::checksum(b"123456789"), 0xe306_9283);
    }
}
